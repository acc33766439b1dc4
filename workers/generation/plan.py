"""How an answer is to be written and read: its grammar, the tools it may call and where its reasoning ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infsup.protocol.errors import EngineFailure, InvalidRequest
from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.lark import Rules
from infsup.workers.generation.tools.forcing import forced_calls, free_calls
from infsup.workers.generation.tools.formats import CallFormat, detect_format
from infsup.workers.generation.tools.parser import CallParser

from .constraint import Constraint, Grammar
from .model import PromptModel
from .params import TextParams
from .prompts import Prompt
from .reasoning import ReasoningSplitter, ReasoningStyle, detect_reasoning
from .shape import Shaper
from .vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """One request's plan; each of its answers takes its own parts. `pieces` are the bytes of each token, with those of
    control tokens that mark calls or reasoning.
    """

    pieces: Sequence[bytes]
    grammar: Grammar | None = None
    style: ReasoningStyle | None = None
    opened: bool = False
    form: CallFormat | None = None
    names: tuple[str, ...] = ()
    most: int | None = None

    def shaper(self) -> Shaper:
        """Return what cuts an answer into its parts."""
        splitter = ReasoningSplitter(self.style, opened=self.opened) if self.style else None
        parser = CallParser(self.form, self.names, most=self.most) if self.form else None
        return Shaper(splitter, parser)


def plan_answer(model: PromptModel, params: TextParams, prompt: Prompt) -> AnswerPlan:
    """Plan the answers of a request.

    Raises `InvalidRequest` and `UnsupportedParameter` for a grammar that is wrong or cannot be held.
    """
    vocabulary = model.vocabulary
    if not params.messages or model.template is None:
        return AnswerPlan(
            vocabulary.pieces, _grammar(vocabulary, params.format.rules(), params) if params.format else None
        )
    tools = params.shown_tools
    source = model.template.source(tools=bool(tools))
    style = detect_reasoning(source)
    opened = style is not None and style.left_open(prompt.tail)
    form = detect_format(source) if tools else None
    rules = _rules(params, form, vocabulary.special)
    if rules is not None and style is not None:
        rules = _after_reasoning(rules, style, vocabulary.special, opened=opened)
    marks = ((style.begin, style.end) if style else ()) + (form.markers if form else ())
    return AnswerPlan(
        _visible(vocabulary, marks),
        _grammar(vocabulary, rules, params) if rules is not None else None,
        style,
        opened,
        form,
        tuple(tool.name for tool in tools),
        None if params.parallel_tool_calls else 1,
    )


def begin(grammar: Grammar, vocabulary: Vocabulary, prefill: str) -> Constraint:
    """Return the constraint of a new answer that begins with `prefill`. Raises `InvalidRequest` if it must not."""
    constraint = grammar.start()
    if prefill:
        try:
            for token in vocabulary.encode(prefill, special=False):
                constraint.accept(token)
        except EngineFailure as error:
            raise InvalidRequest(
                "messages: the grammar does not allow the beginning that the last message gives", param="messages"
            ) from error
    return constraint


def _grammar(vocabulary: Vocabulary, rules: Rules, params: TextParams) -> Grammar:
    field = params.format.field if params.format else "tools"
    if params.ignore_eos:
        raise InvalidRequest(f"ignore_eos: found true, allowed is false together with {field}", param="ignore_eos")
    return vocabulary.guide.grammar(rules, field)


def _rules(params: TextParams, form: CallFormat | None, special: Mapping[str, int]) -> Rules | None:
    """Return the grammar of the answer behind its reasoning; None where everything is allowed."""
    wanted = params.format.rules() if params.format else None
    must_call = params.tool_choice.mode == "required"
    if form is not None and wanted is None and not must_call and any(tool.strict for tool in params.tools):
        return free_calls(form, list(enumerate(params.tools)), special)
    if form is None or (wanted is None and not must_call):
        return wanted
    name = params.tool_choice.name
    chosen = [(i, tool) for i, tool in enumerate(params.tools) if not name or tool.name == name]
    calls = forced_calls(form, chosen, special, several=params.parallel_tool_calls and not name)
    return calls if must_call or wanted is None else lark.either([calls, wanted])


def _after_reasoning(rules: Rules, style: ReasoningStyle, special: Mapping[str, int], *, opened: bool) -> Rules:
    space = lark.pattern(r"[\x20\n]{0,4}")
    if style.end in special:
        thought = lark.sequence(lark.pattern("(?s:.*)"), lark.literal(style.end, special), space)
    else:
        thought = lark.sequence(lark.until("thought", style.end), space)
    if opened:
        return lark.sequence(thought, rules)
    return lark.sequence(lark.optional(lark.sequence(lark.literal(style.begin, special), thought)), rules)


def _visible(vocabulary: Vocabulary, marks: Sequence[str]) -> Sequence[bytes]:
    """Return the bytes of the tokens; control tokens have none, except those that are marks."""
    shown = {vocabulary.special[mark]: mark.encode() for mark in marks if mark in vocabulary.special}
    if not shown:
        return vocabulary.pieces
    return [shown.get(token, piece) for token, piece in enumerate(vocabulary.pieces)]

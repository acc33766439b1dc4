"""Reasoning apart from the answer: `<think>…</think>` in front of it, as models were trained to write it."""

from dataclasses import dataclass

from .holdback import overlap

_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class ReasoningStyle:
    """The marks around reasoning."""

    begin: str
    end: str

    def left_open(self, prompt: str) -> bool:
        """Say whether a rendered prompt ends inside reasoning: the template has opened it."""
        begun = prompt.rfind(self.begin)
        return begun >= 0 and not prompt[begun + len(self.begin) :].strip(_SPACE)


STYLES = (
    ReasoningStyle("<think>", "</think>"),
    ReasoningStyle("[THINK]", "[/THINK]"),
    ReasoningStyle("<reasoning>", "</reasoning>"),
    ReasoningStyle("<thinking>", "</thinking>"),
    ReasoningStyle("<|START_THINKING|>", "<|END_THINKING|>"),
)


def detect_reasoning(template: str) -> ReasoningStyle | None:
    """Return the style whose marks a template's source has."""
    return next((style for style in STYLES if style.end in template), None)


class ReasoningSplitter:
    """Cuts an answer in two while it is written. Whitespace around the reasoning is dropped."""

    def __init__(self, style: ReasoningStyle, *, opened: bool) -> None:
        """With `opened` the answer begins inside the reasoning."""
        self._style = style
        self._held = ""
        self._thinking = opened
        self._decided = opened
        self._said_any = False

    @property
    def over(self) -> bool:
        """Whether everything from here on is the answer itself."""
        return self._decided and not self._thinking

    def push(self, text: str) -> tuple[str, str]:
        """Return the reasoning and the answer in this piece."""
        if self.over and self._said_any:
            return "", text
        self._held += text
        if not self._decided and not self._decide():
            return "", ""
        if self._thinking:
            return self._think()
        return "", self._answer()

    def flush(self) -> tuple[str, str]:
        """Return what was held back: the answer has ended."""
        held, self._held = self._held, ""
        return (held.rstrip(_SPACE), "") if self._thinking else ("", held)

    def _decide(self) -> bool:
        begun = self._held.lstrip(_SPACE)
        if begun.startswith(self._style.begin):
            self._thinking = self._decided = True
            self._held = begun[len(self._style.begin) :]
        elif not self._style.begin.startswith(begun):
            self._decided = self._said_any = True  # an answer without reasoning keeps its whitespace
        return self._decided

    def _think(self) -> tuple[str, str]:
        if not self._said_any:
            self._held = self._held.lstrip(_SPACE)
        at = self._held.find(self._style.end)
        if at >= 0:
            reasoning = self._held[:at].rstrip(_SPACE)
            self._held = self._held[at + len(self._style.end) :]
            self._thinking, self._said_any = False, False
            return reasoning, self._answer()
        keep = overlap(self._held, self._style.end)
        reasoning = self._held[: len(self._held) - keep].rstrip(_SPACE)
        self._held = self._held[len(reasoning) :]
        self._said_any = self._said_any or bool(reasoning)
        return reasoning, ""

    def _answer(self) -> str:
        """Return the answer so far; behind reasoning it begins at its first character that is no whitespace."""
        answer = self._held if self._said_any else self._held.lstrip(_SPACE)
        self._held, self._said_any = "", self._said_any or bool(answer)
        return answer

"""Chat templates: how models' Jinja is rendered, and what a hostile one cannot do."""

import pytest

from infsup.protocol.errors import EngineFailure, InvalidRequest, ModelUnavailable
from infsup.workers.generation.choose_template import choose_template
from infsup.workers.generation.template import CHATML, ChatTemplate
from infsup.workers.generation.vocabulary import Vocabulary

USER = {"role": "user", "content": "Hi"}


def render(source: str, **options: object) -> str:
    return ChatTemplate({"default": source}, {"bos_token": "<s>"}).render([USER], options=options)


def encode(text: str, *, special: bool) -> list[int]:
    return [ord(c) for c in text]


def test_template_chatml_opens_the_assistants_turn() -> None:
    assert render(CHATML) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}\n  {% if true %}\nx\n  {% endif %}\n{% endfor %}", "x\n"),
        ("{{ bos_token }}{{ flag }}", "<s>1"),
        ("{{ {'b': '<é&\"', 'a': [1, none]} | tojson }}", '{"b": "<é&\\"", "a": [1, null]}'),
        ("{{ {'b': 1} | tojson(indent=2) }}", '{\n  "b": 1\n}'),
        ("{% for x in range(9) %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "Hi!"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "2"),
        ("{{ strftime_now('%%') }}{{ tools is none }}{{ '' if x is defined else 'no x' }}", "%Trueno x"),
        ("{{ messages[0]['content'] if messages[0].get('tool_calls') is none }}", "Hi"),
    ],
)
def test_template_has_what_models_expect(source: str, text: str) -> None:
    assert render(source, flag=1) == text


def test_template_raise_exception_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ undefined_thing.x }}",
        "{{ 'a' * 10 ** 9 }}",
        "{% set ns = namespace(s='xxxxxxxx') %}{% for _ in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set s = 'x' * 100000 %}{% for a in range(99999) %}{{ s }}{% endfor %}",
        "{{ 2 ** 2 ** 2 ** 2 ** 2 ** 2 }}",
        "{{ 1 / 0 }}",
    ],
)
def test_template_hostile_or_broken_fails_and_does_no_harm(source: str) -> None:
    with pytest.raises(EngineFailure, match="chat template failed"):
        render(source)


def test_template_tool_use_is_for_requests_with_tools() -> None:
    template = ChatTemplate({"default": "plain", "tool_use": "{{ tools[0].name }}"}, {})
    assert template.render([USER]) == "plain"
    assert template.render([USER], tools=[{"name": "dice"}]) == "dice"


def test_choose_template_takes_the_first_there_is() -> None:
    chatml = Vocabulary((), encode, special={"<|im_start|>": 1})
    plain = Vocabulary((), encode)

    def text(options: dict[str, object], own: dict[str, str], vocabulary: Vocabulary) -> str:
        template, reason = choose_template(options, own, vocabulary)
        return template.render([USER]) if template else reason

    assert text({"chat_template": "mine"}, {"default": "own"}, chatml) == "mine"
    assert text({}, {"default": "own"}, chatml) == "own"
    assert text({}, {"rag": "named"}, chatml) == "named"
    assert text({}, {}, chatml).startswith("<|im_start|>user")
    assert "no chat template" in text({}, {}, plain)
    assert "broken" in text({}, {"default": "{% if %}"}, chatml)
    with pytest.raises(ModelUnavailable, match=r"options\.chat_template, line 1"):
        text({"chat_template": "{% if %}"}, {}, chatml)

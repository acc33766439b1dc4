"""Messages, the chat template and how a conversation becomes text."""

import json
import random
import re
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict


class Message(TypedDict):
    """One chat message in the form of OpenAI's API."""

    role: str
    content: str | None
    tool_calls: NotRequired[list[dict[str, Any]]]


TEMPLATE = (
    "{%- if tools %}"
    "{{- '<|im_start|>system\\n' }}"
    "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n\\n' }}{%- endif %}"
    "{{- '# Tools\\n<tools>\\n' }}"
    "{%- for tool in tools %}{{- tool | tojson }}{{- '\\n' }}{%- endfor %}"
    "{{- '</tools><|im_end|>\\n' }}"
    "{%- endif %}{%- for message in messages %}{%- if not (tools and loop.first and message['role'] == 'system') "
    "%}{{- '<|im_start|>' + message['role'] + '\\n' }}{%- if message['content'] %}{{- message['content'] }}{%- endif "
    "%}{%- if message['tool_calls'] %}{%- if message['content'] %}{{- '\\n' }}{%- endif %}{%- for call in "
    "message['tool_calls'] %}{%- if not loop.first %}{{- '\\n' }}{%- endif %}{%- if call['function'] %}{%- set call = "
    "call['function'] %}{%- endif %}{{- '<tool_call>\\n{\"name\": \"' + call['name'] + '\", \"arguments\": ' }}{%- if "
    "call['arguments'] is string %}{{- call['arguments'] }}{%- else %}{{- call['arguments'] | tojson }}{%- endif "
    "%}{{- '}\\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if "
    "add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

Tools = Sequence[dict[str, Any]]


def dumps(value: Any) -> str:
    """JSON exactly as the template's `tojson` writes it."""
    return json.dumps(value, ensure_ascii=False)


def user(text: str) -> Message:
    """A user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """An assistant message without tool calls."""
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    """A system message."""
    return {"role": "system", "content": text}


def calls(*wanted: tuple[str, dict[str, Any]]) -> Message:
    """An assistant message that calls tools."""
    made = [{"type": "function", "function": {"name": name, "arguments": args}} for name, args in wanted]
    return {"role": "assistant", "content": None, "tool_calls": made}


def body(message: Message) -> str:
    """The text of one message between its role line and `<|im_end|>`."""
    parts = [message["content"]] if message["content"] else []
    for call in message.get("tool_calls", ()):
        function = call["function"]
        args = function["arguments"]
        text = args if isinstance(args, str) else dumps(args)
        parts.append(f'<tool_call>\n{{"name": "{function["name"]}", "arguments": {text}}}\n</tool_call>')
    return "\n".join(parts)


def with_tools(messages: Sequence[Message], tools: Tools) -> list[Message]:
    """The same conversation with the tool definitions written into its system message."""
    if not tools:
        return list(messages)
    text = "# Tools\n<tools>\n" + "".join(dumps(tool) + "\n" for tool in tools) + "</tools>"
    if messages and messages[0]["role"] == "system":
        return [system(f"{messages[0]['content']}\n\n{text}"), *messages[1:]]
    return [system(text), *messages]


def render(messages: Sequence[Message], tools: Tools = (), generate: bool = False) -> str:
    """What the Jinja template renders; tests hold the two together."""
    text = "".join(f"<|im_start|>{m['role']}\n{body(m)}<|im_end|>\n" for m in with_tools(messages, tools))
    return text + "<|im_start|>assistant\n" if generate else text


def ask(r: random.Random, templates: Sequence[str], plain: bool = False, **values: object) -> str:
    """One of `templates`, filled in; wording, case and final punctuation vary, the values never do.

    `plain` keeps the template's own wording (for prompts that quote or continue text).
    """
    text = r.choice(templates)
    if not plain:
        text = _vary(r, text)
    return text.format(**values)


def _vary(r: random.Random, text: str) -> str:
    if text.endswith((".", "?", "!")) and r.random() < 0.15:
        text = text[:-1]
    if r.random() < 0.12 and re.match("[A-Z][a-z' ]", text) and not text.startswith(("I ", "I'")):
        text = text[0].lower() + text[1:]
    if r.random() < 0.06:
        text = r.choice(["Please ", "Hey, ", "Ok, ", "Now ", "And now: ", "Great. ", "Thanks. ", "So, "]) + text
    return text

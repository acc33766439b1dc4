"""Tools for models whose chat template knows none: what the template would say is put into the messages."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]

_INTRODUCTION = """You can call functions. These are their definitions, one JSON object a line:
{definitions}
To call one, answer with nothing but a JSON object such as {{"name": "NAME", "arguments": {{"KEY": "VALUE"}}}}. \
Answer in words when no function is needed, and after you got a function's result."""


def explain_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the conversation with the tools in its system message, and with calls and results as words."""
    named = dict[str, str]()
    told = [_in_words(message, named) for message in messages]
    if not tools:
        return told
    definitions = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    text = _INTRODUCTION.format(definitions=definitions)
    if told and told[0]["role"] == "system":
        return [{**told[0], "content": f"{told[0]['content']}\n\n{text}"}, *told[1:]]
    return [{"role": "system", "content": text}, *told]


def _in_words(message: Message, named: dict[str, str]) -> Message:
    if message["role"] == "tool":
        name = named.get(message.get("tool_call_id", ""), message.get("name", "the function"))
        return {"role": "user", "content": f"Result of {name}: {message['content']}"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    lines = [message["content"]] if message["content"] else []
    for call in calls:
        function = call["function"]
        named[call.get("id", "")] = function["name"]
        lines.append(json.dumps({"name": function["name"], "arguments": function["arguments"]}, ensure_ascii=False))
    return {"role": "assistant", "content": "\n".join(lines)}

"""The parameters of text jobs as workers get them: only those that the request has."""

from typing import Any

from infsup.protocol.errors import InvalidRequest

from .messages import read_messages
from .prompts import Prompt, read_prompts, read_stop
from .schemas import FORMS, SAMPLING, ChatBody, CompletionBody, TextBody
from .tools import read_tools
from .validation import check_integers


def chat_params(body: ChatBody) -> dict[str, Any]:
    """Return a chat's parameters. Raises `InvalidRequest` or `UnsupportedParameter` naming the field."""
    both = {body.max_tokens, body.max_completion_tokens} - {None}
    if len(both) > 1:
        raise InvalidRequest(
            f"max_completion_tokens: found {body.max_completion_tokens} next to max_tokens {body.max_tokens}, "
            "allowed is one of them or the same number",
            param="max_completion_tokens",
        )
    params: dict[str, Any] = {"messages": read_messages(body.messages), **_common(body)}
    if both:
        params["max_tokens"] = both.pop()
    if body.logprobs:
        params["logprobs"] = body.top_logprobs or 0
    elif body.top_logprobs:
        raise InvalidRequest("top_logprobs: allowed only together with logprobs true", param="top_logprobs")
    if body.chat_template_kwargs:
        check_integers(body.chat_template_kwargs, "chat_template_kwargs")
        params["chat_template_kwargs"] = body.chat_template_kwargs
    return params | _tools(body)


def completion_params(body: CompletionBody) -> list[dict[str, Any]]:
    """Return the parameters of each prompt's job. Raises like `chat_params`."""
    common = _common(body)
    if body.max_tokens is not None:
        common["max_tokens"] = body.max_tokens
    if body.echo:
        common["echo"] = True
    if body.logprobs is not None:
        common["logprobs"] = body.logprobs
    prompts: list[Prompt] = read_prompts(body.prompt)
    return [{"prompt": prompt, **common} for prompt in prompts]


def wants_usage(body: TextBody) -> bool:
    """Say whether a stream is to end with its usage. Raises `InvalidRequest` for stream options without a stream."""
    if body.stream_options is None:
        return False
    if not body.stream:
        raise InvalidRequest("stream_options: allowed only together with stream true", param="stream_options")
    return bool(body.stream_options.include_usage)


def _common(body: TextBody) -> dict[str, Any]:
    params = {name: value for name in SAMPLING if (value := getattr(body, name)) is not None}
    if body.n != 1:
        params["n"] = body.n
    if body.stop is not None and (stop := read_stop(body.stop)):
        params["stop"] = stop
    return params | _forms(body)


def _forms(body: TextBody) -> dict[str, Any]:
    """Return the fields that ask for a form; some clients send empty ones, or that plain text will do."""
    forms = {name: value for name in FORMS if (value := getattr(body, name)) not in (None, "", {}, {"type": "text"})}
    for name, value in forms.items():
        check_integers(value, name)
    return forms


def _tools(body: ChatBody) -> dict[str, Any]:
    """Return the fields of tools; without any, a wish about several calls comes to nothing."""
    params = read_tools(body.tools, body.tool_choice)
    if body.tools and body.parallel_tool_calls is not None:
        params["parallel_tool_calls"] = body.parallel_tool_calls
    return params

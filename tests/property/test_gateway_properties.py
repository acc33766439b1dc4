"""Whatever a client sends is taken or refused with a typed error; chains agree exactly where contexts do."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infsup.gateway.body import parse_object
from infsup.gateway.durations import read_keep_alive
from infsup.gateway.openai.params import chat_params, completion_params
from infsup.gateway.openai.schemas import ChatBody, CompletionBody
from infsup.gateway.openai.validation import read_body
from infsup.gateway.options import read_options
from infsup.gateway.prefix import MAX_ENTRIES, chat_chain
from infsup.protocol.errors import InvalidRequest, RequestError, UnsupportedParameter
from infsup.protocol.wire import pack

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CHAT_FIELDS = sorted(ChatBody.model_fields)
TEXT_FIELDS = sorted(CompletionBody.model_fields)


def refusal(call: Callable[[], object]) -> RequestError | None:
    """Return how a call was refused; it may fail in no other way."""
    try:
        call()
    except (InvalidRequest, UnsupportedParameter) as error:
        return error
    return None


@given(st.dictionaries(st.sampled_from(CHAT_FIELDS), JSON))
def test_chat_body_of_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    def read() -> None:
        body = read_body(ChatBody, {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields})
        read_options(dict(body), {})
        assert pack(chat_params(body))

    refused = refusal(read)
    assert refused is None or refused.param


@given(st.dictionaries(st.sampled_from(TEXT_FIELDS), JSON))
def test_completion_body_of_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    def read() -> None:
        for params in completion_params(read_body(CompletionBody, {"model": "m", "prompt": "x", **fields})):
            assert pack(params)

    refused = refusal(read)
    assert refused is None or refused.param


@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "name", "tool_calls"]), JSON), max_size=3))
def test_messages_of_any_json_are_read_or_refused(messages: list[Any]) -> None:
    def read() -> None:
        params = chat_params(read_body(ChatBody, {"model": "m", "messages": messages}))
        assert all(isinstance(message["content"], str) for message in params["messages"])

    refused = refusal(read)
    assert refused is None or (refused.param or "").startswith("messages")


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_body_of_any_bytes_is_an_object_or_refused(data: bytes) -> None:
    refused = refusal(lambda: parse_object(data))
    assert refused is None or refused.message


@given(JSON | st.text("0123456789.-+smhd", max_size=12))
def test_keep_alive_of_any_json_is_seconds_or_refused(value: object) -> None:
    refused = refusal(lambda: read_keep_alive(value))
    assert read_keep_alive(value) >= -1 if refused is None else refused.param == "keep_alive"


@given(st.lists(st.text(max_size=3), max_size=8), st.lists(st.text(max_size=3), max_size=8))
def test_chains_share_exactly_the_messages_that_are_shared(one: list[str], other: list[str]) -> None:
    chains = [chat_chain([{"role": "user", "content": text} for text in texts]) for texts in (one, other)]
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    for i, (a, b) in enumerate(zip(*chains, strict=False)):
        assert (a == b) == (i < shared)
    assert len(chains[0]) == min(len(one), MAX_ENTRIES)

"""The tiny model through a real server, on both engines, with the real `openai` package."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from .real_server import MODELS, ROOT, RealServer, run_cli, say, serve, wait_for

CONFIG = f"""
[models.onnx]
task = "text-completion"
engine = "onnx"
file = "{MODELS / "tiny.onnx"}"
min_instances = 1
defaults = {{ temperature = 0 }}

[models.llama]
task = "text-completion"
engine = "llama-cpp"
file = "{MODELS / "tiny.f16.gguf"}"
min_instances = 1
parallel = 4
preload = {{ prefix = "Once upon a time" }}
defaults = {{ temperature = 0 }}

[models.short]
task = "text-completion"
engine = "onnx"
file = "{MODELS / "tiny.onnx"}"
context_size = 64
"""
PROMPTS: list[dict[str, Any]] = [
    item
    for item in json.loads((ROOT / "tests" / "data" / "agreement_prompts.json").read_text(encoding="utf-8"))
    if not item.get("tools")
]
ENGINES = pytest.mark.parametrize("model", ["onnx", pytest.param("llama", marks=pytest.mark.llama)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server with the tiny model on both engines."""
    with serve(CONFIG, tmp_path_factory.mktemp("tiny")) as server:
        server.wait_idle("onnx")
        server.wait_idle("llama")
        yield server


def greedy(client: openai.OpenAI, model: str, item: dict[str, Any]) -> str:
    if "prompt" in item:
        return client.completions.create(model=model, prompt=item["prompt"], max_tokens=120).choices[0].text
    return client.chat.completions.create(model=model, messages=item["messages"]).choices[0].message.content or ""


@pytest.mark.llama
def test_agreement_both_engines_give_the_same_greedy_text(tiny: RealServer) -> None:
    assert len(PROMPTS) >= 50
    client = tiny.client()
    texts = [(greedy(client, "onnx", item), greedy(client, "llama", item)) for item in PROMPTS]
    assert [one for one, _ in texts] == [other for _, other in texts]
    assert all(one for one, _ in texts)


@ENGINES
def test_chat_streams_the_text_that_it_answers(tiny: RealServer, model: str) -> None:
    client = tiny.client()
    whole = client.chat.completions.create(model=model, messages=say("Count to 12."))
    stream = client.chat.completions.create(
        model=model, messages=say("Count to 12."), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == (
        whole.choices[0].message.content
    )
    assert len(chunks) > 10
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@ENGINES
def test_chat_last_assistant_message_is_continued(tiny: RealServer, model: str) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "Tell me a story about Bob."},
        {"role": "assistant", "content": "Once upon a time Bob"},
    ]
    answer = tiny.client().chat.completions.create(model=model, messages=messages)
    assert (answer.choices[0].message.content or "").startswith("Once upon a time Bob lived in ")


@ENGINES
def test_completions_stop_limit_and_seed(tiny: RealServer, model: str) -> None:
    client = tiny.client()
    one = client.completions.create(
        model=model, prompt="To verify our code works we will first write an integration", max_tokens=1
    )
    assert one.choices[0].text.strip() == "test"
    assert one.choices[0].finish_reason == "length"
    stopped = client.completions.create(model=model, prompt='"All animals are equal,', stop=["."], max_tokens=100)
    assert stopped.choices[0].text == " but some animals are more equal than others"
    assert stopped.choices[0].finish_reason == "stop"
    sampled = [
        client.completions.create(model=model, prompt="The quick", temperature=1.5, seed=7, max_tokens=20)
        for _ in range(2)
    ]
    assert sampled[0].choices[0].text == sampled[1].choices[0].text


@ENGINES
def test_logit_bias_bans_a_word(tiny: RealServer, model: str) -> None:
    answer = tiny.client().chat.completions.create(
        model=model, messages=say("Say yes."), logit_bias={"yes": -100, " yes": -100, "Yes": -100}, max_tokens=10
    )
    assert "yes" not in (answer.choices[0].message.content or "").lower()


def test_context_exceeded_gives_both_numbers(tiny: RealServer) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        tiny.client().chat.completions.create(model="short", messages=say("word " * 200))
    body: Any = caught.value.body
    assert body["code"] == "context_length_exceeded"
    assert body["n_ctx"] == 64
    assert body["n_prompt_tokens"] > 64
    assert "64" in body["message"]
    assert str(body["n_prompt_tokens"]) in body["message"]


def test_start_without_a_config_serves_the_tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFSUP_CONFIG", raising=False)
    server = RealServer("", tmp_path)
    server.config.unlink()
    server.start_builtin()
    try:
        wait_for(lambda: server.get("/health")[0] == 200, 10)
        answer = server.client().chat.completions.create(model="tiny", messages=say("What is 3 + 4?"))
        assert "7" in (answer.choices[0].message.content or "")
        assert run_cli("ps", "--runtime-dir", str(server.runtime)).returncode == 0
    finally:
        assert server.stop() == 0


@pytest.mark.llama
def test_llama_answers_many_clients_at_once_each_with_its_own_words(tiny: RealServer) -> None:
    items = [item for item in PROMPTS if "messages" in item][:24]
    client = tiny.client()
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(greedy, client, "llama", item) for item in items]
    for item, future in zip(items, futures, strict=True):
        assert future.result()[: len(item["expected"])] == item["expected"]  # those are cut at 300 tokens
    assert len(tiny.instances("llama")) == 1


@pytest.mark.llama
def test_llama_logprobs_reach_the_client_whole_and_streamed(tiny: RealServer) -> None:
    client = tiny.client()
    chat = client.chat.completions.create(model="llama", messages=say("Count to 10."), logprobs=True, top_logprobs=2)
    logprobs = chat.choices[0].logprobs
    assert logprobs is not None
    entries = logprobs.content or []
    assert "".join(entry.token for entry in entries) == chat.choices[0].message.content
    assert all(entry.top_logprobs[0].logprob == entry.logprob for entry in entries)  # greedy
    streamed = client.chat.completions.create(
        model="llama", messages=say("Count to 10."), logprobs=True, top_logprobs=2, stream=True
    )
    pieces = [piece.choices[0].logprobs for piece in streamed if piece.choices]
    tokens = [entry.token for piece in pieces if piece for entry in piece.content or []]
    assert tokens == [entry.token for entry in entries]
    text = client.completions.create(model="llama", prompt="Once upon a time Ada", echo=True, logprobs=1, max_tokens=0)
    found = text.choices[0].logprobs
    assert found is not None
    assert "".join(found.tokens or []) == text.choices[0].text == "Once upon a time Ada"
    assert (found.token_logprobs or [0])[0] is None


def test_onnx_without_logprobs_says_so(tiny: RealServer) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        tiny.client().chat.completions.create(model="onnx", messages=say("Hi"), logprobs=True)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logprobs")

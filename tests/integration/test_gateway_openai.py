"""The real `openai` package against a real gateway; behind it a scripted supervisor."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from infsup.protocol.errors import ContextLengthExceeded, QueueFull, WorkerCrashed

from .gateway_harness import FakeJob, FakeSupervisor, fake_supervisor

MODEL = "tiny:1.0"
MESSAGES: list[Any] = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    with fake_supervisor(tmp_path_factory.mktemp("gw")) as made:
        made.start()
        yield made


@pytest.fixture
def gateway(shared: FakeSupervisor) -> Iterator[FakeSupervisor]:
    script = shared.script
    yield shared
    shared.script = script


@pytest.fixture
def client(gateway: FakeSupervisor) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{gateway.port}/openai/v1",
        api_key="none",
        max_retries=0,
        _strict_response_validation=True,
    ) as made:
        yield made


def test_openai_models_are_listed_and_found_by_alias(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "infsup"
    assert client.models.retrieve("gpt-4o-mini").id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("none")
    assert caught.value.code == "model_not_found"


def test_openai_chat_is_parsed_strictly(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, seed=1, stop=["x"], n=2)
    assert [choice.message.content for choice in answer.choices] == ["one two three"] * 2
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.id.startswith("chatcmpl-")


def test_openai_answer_can_be_sent_back_as_a_message(client: openai.OpenAI, gateway: FakeSupervisor) -> None:
    message: Any = client.chat.completions.create(model=MODEL, messages=MESSAGES).choices[0].message
    again = client.chat.completions.create(model=MODEL, messages=[*MESSAGES, message.model_dump()])
    assert again.choices[0].message.content == "one two three"


def test_openai_chat_stream_yields_text_and_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_openai_stream_helper_accumulates_the_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        answer = stream.get_final_completion()
    assert deltas == ["", "one", " two", " three"]
    assert answer.choices[0].message.content == "one two three"


def test_openai_completions_are_parsed_strictly(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["a b", "c"], max_tokens=5)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "a b"), (1, "c")]


def test_openai_completions_stream_yields_text_and_usage(client: openai.OpenAI) -> None:
    # OpenAI's own streams do not pass its package's strict validation: `finish_reason` is null until the end.
    client._strict_response_validation = False  # pyright: ignore[reportPrivateUsage]
    stream = client.completions.create(model=MODEL, prompt="a b", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, "stop"]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "a b"
    assert chunks[-1].usage is not None


def test_openai_errors_have_their_classes(client: openai.OpenAI, gateway: FakeSupervisor) -> None:
    gateway.script = lambda job: job.fail(ContextLengthExceeded("9 tokens, 4 fit", param="messages"))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9)
    assert caught.value.param == "temperature"


def test_openai_client_retries_a_full_queue(gateway: FakeSupervisor, client: openai.OpenAI) -> None:
    tries: list[FakeJob] = []

    def script(job: FakeJob) -> None:
        tries.append(job)
        if len(tries) == 1:
            job.fail(QueueFull("full", retry_after=0.1))
        else:
            job.done("there")

    gateway.script = script
    answer = client.with_options(max_retries=1).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content == "there"


def test_openai_client_does_not_retry_a_poison_job(gateway: FakeSupervisor, client: openai.OpenAI) -> None:
    tries: list[FakeJob] = []

    def script(job: FakeJob) -> None:
        tries.append(job)
        job.fail(WorkerCrashed("poison", final=True))

    gateway.script = script
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=2).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert len(tries) == 1


def test_openai_failure_mid_stream_raises(gateway: FakeSupervisor, client: openai.OpenAI) -> None:
    def script(job: FakeJob) -> None:
        job.chunk("some")
        job.fail(WorkerCrashed("the worker died"))

    gateway.script = script
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "some"]
    with pytest.raises(openai.APIError, match="the worker died"):
        next(stream)


def test_openai_closing_a_stream_cancels_the_job(gateway: FakeSupervisor, client: openai.OpenAI) -> None:
    while not gateway.jobs.empty():
        gateway.jobs.get()
    gateway.script = lambda job: job.chunk("some")
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    assert gateway.next_job().was_cancelled()


def test_openai_async_client_runs_many_streams_at_once(gateway: FakeSupervisor) -> None:
    async def ask(client: openai.AsyncOpenAI, text: str) -> str:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": text}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def main() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="none") as client:
            return await asyncio.gather(*(ask(client, f"number {i} is here") for i in range(20)))

    assert asyncio.run(main()) == [f"number {i} is here" for i in range(20)]

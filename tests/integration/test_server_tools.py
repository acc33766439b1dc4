"""Tools and forms through a real server with the tiny model, asked by the real `openai` package."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from .real_server import MODELS, RealServer, say, serve

CONFIG = f"""
[models.tiny]
task = "text-completion"
engine = "onnx"
file = "{MODELS / "tiny.onnx"}"
min_instances = 1
defaults = {{ temperature = 0 }}

[models.tiny.grammars]
mood = 'root ::= "positive" | "negative" | "neutral"'
age = {{ type = "integer", minimum = 0, maximum = 99 }}
"""
RANDOM: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "getRandomNumber",
        "description": "Get a random number",
        "parameters": {
            "type": "object",
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}},
            "required": ["min", "max"],
        },
    },
}
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "maximum": 25}, "city": {"type": "string"}},
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
NOBODY = {"type": "function", "function": {"name": "x"}}
BOB = "Extract the name, age and city: Bob is 30 years old and lives in Berlin."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with serve(CONFIG, tmp_path_factory.mktemp("tools")) as server:
        server.wait_idle("tiny")
        yield server


@pytest.fixture(scope="module")
def client(server: RealServer) -> openai.OpenAI:
    return server.client()


def test_tools_die_is_rolled_and_the_result_answered(client: openai.OpenAI) -> None:
    messages = say("Let's roll the die.")
    choice = client.chat.completions.create(model="tiny", messages=messages, tools=[RANDOM]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "getRandomNumber"
    assert json.loads(call.function.arguments) == {"min": 1, "max": 6}
    told: Any = choice.message.model_dump(exclude_none=True)
    result: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "4"}
    answer = client.chat.completions.create(model="tiny", messages=[*messages, told, result], tools=[RANDOM])
    assert answer.choices[0].message.content == "You got 4."
    assert answer.choices[0].finish_reason == "stop"


def test_tools_stream_helper_puts_the_calls_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="tiny", messages=say("Roll the dice twice, then tell me the results."), tools=[RANDOM]
    ) as stream:
        arguments = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"min": 1, "max": 6}] * 2
    assert len({call.id for call in message.tool_calls}) == 2
    assert len(arguments) > 10
    assert not message.content


def test_tools_one_at_a_time_when_not_parallel(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny",
        messages=say("Roll the dice twice, then tell me the results."),
        tools=[RANDOM],
        parallel_tool_calls=False,
    )
    assert len(answer.choices[0].message.tool_calls or ()) == 1
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("named", [False, True])
def test_tools_required_arguments_validate_whatever_was_asked(client: openai.OpenAI, named: bool) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"level": {"type": "integer", "minimum": 3, "maximum": 4}, "tag": {"enum": ["a", "b"]}},
        "required": ["level", "tag"],
        "additionalProperties": False,
    }
    tool: ChatCompletionToolParam = {"type": "function", "function": {"name": "set_level", "parameters": schema}}
    for prompt in ("Say hello.", "Count to 12.", "Tell me a story about Bob."):
        answer = client.chat.completions.create(
            model="tiny",
            messages=say(prompt),
            tools=[RANDOM, tool] if named else [tool],
            tool_choice={"type": "function", "function": {"name": "set_level"}} if named else "required",
            temperature=1.5,
            seed=3,
            n=3,
            parallel_tool_calls=False,
            max_tokens=200,
        )
        for choice in answer.choices:
            assert choice.message.tool_calls is not None
            (call,) = choice.message.tool_calls
            assert call.type == "function"
            jsonschema.validate(json.loads(call.function.arguments), schema)


def test_forms_json_schema_validates(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny",
        messages=say(BOB),
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}},
    )
    person = json.loads(answer.choices[0].message.content or "")
    jsonschema.validate(person, PERSON)
    assert person["name"] == "Bob"
    assert answer.choices[0].finish_reason == "stop"


class Person(BaseModel):
    name: str
    age: int
    city: str


def test_forms_parse_helper_gives_the_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="tiny", messages=say(BOB), response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Bob", age=30, city="Berlin")


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"grammar": "mood"}, {"positive", "negative", "neutral"}),
        ({"guided_choice": ["up", "down"]}, {"up", "down"}),
        ({"structured_outputs": {"regex": "[0-3]"}}, {"0", "1", "2", "3"}),
        ({"grammar": 'root ::= "x" | "y"'}, {"x", "y"}),
    ],
)
def test_forms_of_the_wider_ecosystem_hold(client: openai.OpenAI, fields: dict[str, Any], allowed: set[str]) -> None:
    answer = client.chat.completions.create(model="tiny", messages=say("I love this."), extra_body=fields)
    assert answer.choices[0].message.content in allowed
    text = client.completions.create(model="tiny", prompt="The quick", extra_body=fields)
    assert text.choices[0].text in allowed


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"grammar": 'root ::= "a" |\n  b'}, "grammar"),
        ({"guided_json": {"properties": {"a": {"not": {}}}}}, "guided_json#/properties/a/not"),
        ({"tools": [RANDOM], "tool_choice": NOBODY}, "tool_choice.function.name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ],
)  # fmt: skip
def test_forms_that_are_wrong_are_refused_with_their_place(
    client: openai.OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=say("Hi"), extra_body=fields, stream=True)
    assert caught.value.param == param

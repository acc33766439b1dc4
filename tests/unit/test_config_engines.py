"""The tables of engines, defaults and options are copies of what the workers say: they must not drift apart."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.errors import InfsupError
from infsup.protocol.job import TASKS
from infsup.supervisor.config.engine_tables import ENGINE_DEFAULTS, ENGINE_OPTIONS
from infsup.supervisor.config.engines import ENGINES, SERVED
from infsup.supervisor.config.rules import Refused, Rule
from infsup.workers import registry
from infsup.workers.engines import llama_cpp_options
from infsup.workers.engines.fault_options import FaultOptions, read_options
from infsup.workers.engines.onnx import OnnxEngine
from infsup.workers.generation import params
from infsup.workers.generation.answer_format import FORMAT_READERS
from infsup.workers.generation.checks import Number

READERS: Mapping[str, Callable[[Any, str], Any]] = {
    **vars(params)["_BY_TASK"]["text-completion"],
    **vars(params)["_COMMON"],
    **vars(params)["_BY_TASK"]["chat-completion"],
}
LACKS: Mapping[str, frozenset[str]] = {"llama-cpp": frozenset(), "onnx": OnnxEngine.lacks}
ODD: list[Any] = [
    True, False, "", "a", "200MB", "1 gib", "1KB", "5TB", "-1MB", "1.5MB", 0, 1, -1, 2, 0.5, 256, 257, 2**63,
    float("nan"), float("inf"), [], ["a"], [""], ["a"] * 16, ["a"] * 17, [1], [1, True], [5, "a"], {}, {"": 1},
    {"7": 100}, {"7": 101}, {"a": -100.0}, {"a": True}, {"a": "b"}, {"a": float("nan")}, {"a" * 1000: 1},
    {"a" * 1001: 1}, [{}],
    [{"role": "user", "content": "x"}],
]  # fmt: skip


def edges(number: Number) -> Iterator[Any]:
    for edge in (number.low, number.high):
        yield from (edge, edge - 1, edge + 1, edge - 0.001, edge + 0.001, float(edge))


def values_for(reader: object) -> list[Any]:
    owner = getattr(reader, "__self__", None)
    return [*ODD, *edges(owner)] if isinstance(owner, Number) else ODD


def rule_passes(rule: Rule, value: object) -> bool:
    try:
        rule.read(value, Path())
    except Refused:
        return False
    return True


def worker_passes(read: Callable[[], object]) -> bool:
    try:
        read()
    except InfsupError:
        return False
    return True


def test_engines_served_now_are_those_of_the_workers_registry() -> None:
    assert {name: entry.tasks for name, entry in registry.ENGINES.items()} == SERVED


def test_engines_tasks_are_all_the_tasks_of_the_protocol() -> None:
    assert frozenset[str]().union(*(tasks.now | tasks.later for tasks in ENGINES.values())) == TASKS
    assert not any(tasks.now & tasks.later for tasks in ENGINES.values())


def test_engine_tables_are_there_for_every_served_engine() -> None:
    assert set(ENGINE_DEFAULTS) == set(ENGINE_OPTIONS) == set(SERVED)


def test_defaults_have_the_names_of_the_text_parameters() -> None:
    for engine in SERVED:
        assert set(ENGINE_DEFAULTS[engine]) == set(READERS)


OUTLINED = {*FORMAT_READERS, "tools", "tool_choice"}
"""What is deep inside of these is checked by the worker alone."""


@pytest.mark.parametrize("name", READERS)
def test_defaults_allow_what_the_worker_allows(name: str) -> None:
    for value in values_for(READERS[name]):
        if name == "messages" and value in ([], [{}]):
            continue  # of messages only the outline is checked before the worker does
        for engine, lacks in LACKS.items():
            wanted = worker_passes(lambda value=value, lacks=lacks: params.check_defaults({name: value}, lacks))
            passes = rule_passes(ENGINE_DEFAULTS[engine][name], value)
            assert passes == wanted or (passes and name in OUTLINED), value


def test_options_have_the_names_that_the_engines_know() -> None:
    assert set(ENGINE_OPTIONS["onnx"]) == OnnxEngine.options
    assert set(ENGINE_OPTIONS["llama-cpp"]) == llama_cpp_options.OPTIONS
    assert set(ENGINE_OPTIONS["fault"]) == {field.name for field in fields(FaultOptions)}


@pytest.mark.parametrize("name", ENGINE_OPTIONS["fault"])
def test_options_of_fault_allow_what_the_worker_allows(name: str) -> None:
    for value in ODD:
        if name.endswith("_delay") and value == 2**63:
            continue  # 300 thousand million years
        wanted = worker_passes(lambda value=value: read_options({name: value}))
        assert rule_passes(ENGINE_OPTIONS["fault"][name], value) == wanted, value


@pytest.mark.parametrize("name", ENGINE_OPTIONS["llama-cpp"])
def test_options_of_llama_cpp_allow_what_the_worker_allows(name: str) -> None:
    for value in [*values_for(vars(llama_cpp_options)["_READERS"][name]), "q8_0", "auto", [0.5, 2], [1] * 17, [-1]]:
        wanted = worker_passes(lambda value=value: llama_cpp_options.read_options({name: value}))
        assert rule_passes(ENGINE_OPTIONS["llama-cpp"][name], value) == wanted, value

"""Whatever a configuration says, the answer is a `Config` or a `ConfigError`, never anything else."""

import copy
import datetime
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.supervisor.config import Config, ConfigError, load_config, parse_config
from infsup.supervisor.config.lines import locate_keys
from infsup.supervisor.config.problems import KeyPath

CONFIGS = Path(__file__).parents[1] / "data" / "configs"
TEXT = (CONFIGS / "full.toml").read_text(encoding="utf-8")
FULL: dict[str, Any] = tomllib.loads(TEXT)
ENV = {"INFSUP_TEST_KEY": "key-two", "INFSUP_TEST_PYTHON": sys.executable}


def paths_of(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = [(key, child) for key, child in cast("dict[str, Any]", value).items()]
    elif isinstance(value, list):
        children = list(enumerate(cast("list[Any]", value)))
    return [path, *(below for key, child in children for below in paths_of(child, (*path, key)))]


def result_of(load: Callable[[], Config]) -> Config | ConfigError:
    try:
        return load()
    except ConfigError as error:
        return error


ODD_VALUES: list[Any] = [
    "", "\0", "${", "${HOME}", "$${x", "~", "~nobody-here/x", "/", ".", "x" * 5000, "https://[", "-1", "1e9", "5m",
    "9%", "\ud800", -1, 0, 2**31, 2**63, 2**64, -(2**70), float("nan"), float("inf"), -0.0, 1e300, True, None,
    datetime.date(2020, 1, 1), datetime.time(1), [], {}, [[]], {"": {}}, {1: 2}, object(), b"bytes",
]  # fmt: skip
ODD: st.SearchStrategy[Any] = st.sampled_from(ODD_VALUES)
VALUES: st.SearchStrategy[Any] = st.one_of(
    ODD,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
)


def mutate(path: KeyPath, key: str | None, value: Any) -> dict[str, Any]:
    """Put `value` at `path`, or beside it under `key`."""
    mutant: dict[str, Any] = copy.deepcopy(FULL)
    table: Any = mutant
    for part in path[:-1]:
        table = table[part]
    if path:
        table[path[-1] if key is None or isinstance(table, list) else key] = value
    return mutant


@settings(max_examples=150)
@given(st.sampled_from(paths_of(FULL)), st.none() | st.text(max_size=8), VALUES)
def test_parse_config_any_mutation_is_a_config_or_a_config_error(path: KeyPath, key: str | None, value: Any) -> None:
    result = result_of(lambda: parse_config(mutate(path, key, value), CONFIGS, ENV))
    if isinstance(result, ConfigError):
        assert result.problems
        assert all(problem.found and problem.allowed for problem in result.problems)
    else:
        assert all(len(model.load_key()) == 16 for model in result.models.values())


@settings(max_examples=150)
@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 12),
    st.text(max_size=6) | st.sampled_from(["[", "{", '"""', "\r", "\ud800"]),
)
def test_load_config_any_text_mutation_is_a_config_or_a_config_error(at: int, cut: int, put: str) -> None:
    text = TEXT[:at] + put + TEXT[at + cut :]
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        result = result_of(lambda: load_config(Path(file.name), ENV))
    assert isinstance(result, Config) or result.problems


KEYS = st.text(st.sampled_from('ab.-_ "\\é\n#]'), max_size=4)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers(0, 9) | st.text(st.sampled_from("ab\"'\\\n#[]{}=,"), max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def value_of(value: Any, gap: str) -> str:
    if isinstance(value, str):
        return '"""' + quoted(value)[1:-1] + '"""' if gap == "\n" else quoted(value)
    if isinstance(value, list):
        return "[" + gap + f",{gap}".join(value_of(entry, gap) for entry in cast("list[Any]", value)) + gap + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(pairs_of(cast("dict[str, Any]", value), gap)) + " }"
    return str(value)


def pairs_of(table: dict[str, Any], gap: str) -> list[str]:
    return [f"{quoted(key)} = {value_of(value, gap)}" for key, value in table.items()]


@settings(max_examples=150)
@given(TREES, st.sampled_from([" ", "\n", "\n# comment ] }\n"]))
def test_locate_keys_knows_exactly_the_paths_that_toml_has(tree: dict[str, Any], gap: str) -> None:
    text = "".join(f"{pair}\n" for pair in pairs_of({k: v for k, v in tree.items() if not isinstance(v, dict)}, gap))
    for name, table in tree.items():
        if isinstance(table, dict):
            text += f"[ {quoted(name)} ]\n"
            text += "".join(f"  {pair} # end\n" for pair in pairs_of(cast("dict[str, Any]", table), gap))
    assert tomllib.loads(text) == tree
    lines = locate_keys(text)
    assert set(lines) == set(paths_of(tree)) - {()}
    written = text.split("\n")
    for path, line in lines.items():
        key = path[len(path) - 1]
        assert isinstance(key, int) or quoted(key) in written[line - 1]


def test_locate_keys_full_config_knows_every_key() -> None:
    assert set(paths_of(FULL)) - {()} == set(locate_keys(TEXT))

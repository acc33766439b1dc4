"""Finding, reading and checking whole configurations."""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.errors import ModelUnavailable
from infsup.supervisor.config import (
    Config,
    ConfigError,
    ModelConfig,
    Share,
    Size,
    find_config,
    load_config,
    parse_config,
)
from infsup.supervisor.config.checks import is_loopback
from infsup.supervisor.config.load import builtin_config
from infsup.workers.engines.onnx_files import find_files

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "tests" / "data" / "configs"
ENV = {"INFSUP_TEST_KEY": "key-two", "INFSUP_TEST_PYTHON": sys.executable}
MODEL: Mapping[str, Any] = {"task": "text-completion", "engine": "fault"}


def parse(server: Mapping[str, Any] | None = None, **model: Any) -> Config:
    return parse_config({"server": server or {}, "models": {"echo": {**MODEL, **model}}}, CONFIGS, ENV)


def errors_of(mapping: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(mapping, CONFIGS, ENV)
    return {problem.key_path: problem.message for problem in caught.value.problems}


def read_error(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENV)
    (problem,) = caught.value.problems
    return str(problem)


# ---- finding


def test_find_config_argument_wins_over_variable_and_file(tmp_path: Path) -> None:
    (tmp_path / "infsup.toml").touch()
    env = {"INFSUP_CONFIG": "variable.toml"}
    assert find_config("argument.toml", env, tmp_path) == tmp_path / "argument.toml"
    assert find_config(None, env, tmp_path) == tmp_path / "variable.toml"
    assert find_config(None, {"INFSUP_CONFIG": ""}, tmp_path) == tmp_path / "infsup.toml"


def test_find_config_nothing_there_is_the_builtin_one_or_an_error(tmp_path: Path) -> None:
    assert find_config(None, {}, tmp_path, builtin=True) is None
    with pytest.raises(ConfigError, match=r"found no configuration.*\$INFSUP_CONFIG"):
        find_config(None, {}, tmp_path)


def test_builtin_config_is_valid_and_loads_the_tiny_model_first(tmp_path: Path) -> None:
    content = tomllib.loads(builtin_config().read_text(encoding="utf-8"))
    (tmp_path / "tiny.onnx").touch()
    tiny = parse_config(content, tmp_path).models["tiny"]
    assert tiny.file == tmp_path / "tiny.onnx"
    assert (tiny.task, tiny.engine, tiny.min_instances, tiny.ttl) == ("text-completion", "onnx", 1, -1)
    assert tiny.defaults == {"temperature": 0}


# ---- reading


def test_load_config_every_key_set_is_read_as_its_type() -> None:
    config = load_config(CONFIGS / "full.toml", ENV)
    server, model = config.server, config.models["echo:8b.v1"]
    assert config.path == CONFIGS / "full.toml"
    assert server.api_keys == ("key-one", "key-two", "key-three", "key-four")
    assert (server.host, server.port, server.max_body) == ("::1", 0, Size(1536 * 1024))
    assert (config.pool.cores, config.pool.memory, config.pool.drain_timeout) == (
        (0, 1, 2, 3, 6),
        Size(12 * 1024**3),
        90,
    )
    assert config.store.path == CONFIGS / "store"
    assert (model.ttl, model.timeout, model.beat_interval, model.recycle_after_seconds) == (-1, 5400, 0.25, 86400)
    assert (model.file, model.python) == (CONFIGS / "downloads/model.bin", Path(sys.executable))
    assert (model.max_memory, model.device.gpu, model.device.cpu_threads) == (Size(4 * 1024**3), "cuda", 2)
    assert config.models["mine"].options["note"] == "price: ${amount}"
    assert isinstance(config.pool.swap_patience, float)
    assert isinstance(config.models["mine"].ttl, float)


def test_load_config_every_key_of_the_models_stands_in_full_toml() -> None:
    given = tomllib.loads((CONFIGS / "full.toml").read_text(encoding="utf-8"))
    for section in ("server", "pool", "store", "log"):
        assert set(given[section]) == set(Config().model_dump()[section])
    assert set(given["models"]["echo:8b.v1"]) == set(ModelConfig.model_fields)


def test_load_config_defaults_are_those_of_the_contract() -> None:
    written = load_config(CONFIGS / "defaults.toml", {})
    left_out = parse_config({"models": {"assistant": MODEL}}, CONFIGS, {})
    assert written.model_dump() == left_out.model_dump()
    assert left_out.pool.memory == Share(80)
    assert left_out.store.path == Path("~/.cache/infsup").expanduser()


def test_load_config_is_immutable() -> None:
    config = parse()
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_load_config_values_from_the_command_line_replace_the_file(tmp_path: Path) -> None:
    file = tmp_path / "infsup.toml"
    file.write_text('[server]\nport = 1\n[models.echo]\ntask = "embedding"\nengine = "fault"\n')
    config = load_config(file, {}, {"port": 9000, "host": None})
    assert (config.server.host, config.server.port) == ("127.0.0.1", 9000)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"port": 99999}, "--port: found 99999 (over 65535), allowed: an integer, 0 to 65535"),
        ({"host": "a b"}, '--host: found "a b", allowed: an IP address or host name'),
        ({"host": "nope.invalid"}, '--host: found "nope.invalid" (an open server that other machines can reach)'),
    ],
)
def test_load_config_mistake_on_the_command_line_is_not_blamed_on_the_file(
    values: dict[str, object], told: str, tmp_path: Path
) -> None:
    file = tmp_path / "infsup.toml"
    file.write_text('[server]\nport = 1\nhost = "::1"\n[models.echo]\ntask = "embedding"\nengine = "fault"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, {}, values)
    (problem,) = caught.value.problems
    assert str(problem).startswith(told)
    assert (problem.file, problem.line) == ("", None)


def test_load_config_mistake_in_the_file_beside_the_command_line_keeps_its_place(tmp_path: Path) -> None:
    file = tmp_path / "infsup.toml"
    file.write_text('[server]\nport = -1\nhost = "a b"\n[models.echo]\ntask = "embedding"\nengine = "fault"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, {}, {"port": 99999})
    assert [(one.line, one.key_path) for one in caught.value.problems] == [(3, "server.host"), (None, "--port")]


def test_load_config_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "infsup.toml").write_bytes(b"# fine\n# not UTF-8: \xff\n")
    assert "found no such file, allowed: a TOML file" in read_error(tmp_path / "absent.toml")
    assert "found a directory (did you mean" in read_error(tmp_path)
    assert "infsup.toml:2: found a byte that is not UTF-8 text: 0xff" in read_error(tmp_path / "infsup.toml")
    assert "found a file that cannot be read" in read_error(tmp_path / "infsup.toml" / "x")
    assert "found a file that cannot be read" in read_error(Path("a\0b"))


def test_load_config_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    assert "found a pipe or a device (it could not be read again)" in read_error(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\na = 2\n", 2),
        ("[server\n", 1),
        ("x = [1,\n", 1),
        ("big = " + "9" * 5000, None),
        ("x = " + "[" * 5000, None),
    ],
)
def test_load_config_bad_toml_is_one_problem_with_its_line(text: str, line: int | None, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    (problem,) = caught.value.problems
    assert problem.line == line
    assert "TOML" in problem.found


def test_load_config_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "mark.toml"
    file.write_text('\ufeff[models.echo]\ntask = "embedding"\nengine = "fault"\n', encoding="utf-8")
    assert list(load_config(file, {}).models) == ["echo"]


# ---- checks across keys


@pytest.mark.parametrize(
    ("server", "open_"),
    [
        ({"host": "localhost"}, True),
        ({"host": "127.8.0.1"}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "example.org"}, False),
        ({"host": "0.0.0.0", "insecure": True}, True),
        ({"host": "0.0.0.0", "api_keys": ["x"]}, True),
        ({"host": "0.0.0.0", "api_keys_file": "keys.txt"}, True),
    ],
)
def test_parse_config_open_server_needs_loopback_keys_or_insecure(server: dict[str, Any], open_: bool) -> None:
    if open_:
        assert parse(server).server.host == server["host"]
    else:
        assert list(errors_of({"server": server, "models": {"echo": MODEL}})) == ["server.host"]


@pytest.mark.parametrize("host", ["a..b", "-a", "1.2.3", "999.1.1.1", "a b", "", "x" * 64, "a.", "[::1]", "a/b"])
def test_parse_config_bad_host_is_refused(host: str) -> None:
    assert list(errors_of({"server": {"host": host}, "models": {"echo": MODEL}})) == ["server.host"]


def test_is_loopback_names_and_addresses() -> None:
    assert is_loopback("app.localhost")
    assert not is_loopback("192.168.0.1")


def test_parse_config_batch_size_is_clamped_to_the_context() -> None:
    assert parse(context_size=64).models["echo"].batch_size == 64
    assert parse(context_size=0, batch_size=9000).models["echo"].batch_size == 9000


def test_parse_config_directory_is_a_model_only_where_the_engine_takes_one() -> None:
    for engine in ("onnx", "my.module:Engine"):
        assert parse(engine=engine, file=".").models["echo"].file == CONFIGS
    for engine in ("llama-cpp", "fault"):
        mapping = {"models": {"echo": {**MODEL, "engine": engine, "file": "."}}}
        assert list(errors_of(mapping)) == ["models.echo.file"]


def test_parse_config_file_with_url_must_exist_where_the_engine_needs_it() -> None:
    source: dict[str, Any] = {"file": "later.gguf", "url": "https://example.org/later.gguf"}
    for engine in ("my.module:Engine", "fault"):
        assert parse(None, engine=engine, **source).models["echo"].file == CONFIGS / "later.gguf"
    assert list(errors_of({"models": {"echo": {**MODEL, "engine": "llama-cpp", **source}}})) == ["models.echo.file"]
    assert parse(None, engine="llama-cpp", **source | {"file": "stub.gguf"}).models["echo"].url == source["url"]


@pytest.mark.parametrize(
    ("names", "choice", "reason"),
    [
        (["one.onnx"], "", ""),
        (["onnx/one.onnx"], "", ""),
        (["model.onnx", "other.onnx"], "", ""),
        (["onnx/model.onnx", "onnx/other.onnx"], "", ""),
        (["one.onnx", "two.onnx"], "two.onnx", ""),
        (["onnx/one.onnx", "onnx/two.onnx"], "two.onnx", ""),
        (["one.onnx", "onnx/two.onnx"], "", "of which options.onnx_file picks one: one.onnx, two.onnx"),
        (["one.onnx"], "two.onnx", "the directory has no two.onnx"),
        (["one.txt"], "", "the directory has no .onnx file"),
    ],
)
def test_parse_config_onnx_directory_is_searched_as_the_engine_does(
    names: list[str], choice: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "onnx").mkdir()
    for name in names:
        (tmp_path / name).touch()
    model: dict[str, Any] = {**MODEL, "engine": "onnx", "file": str(tmp_path), "options": {"onnx_file": choice}}
    if reason:
        assert reason in errors_of({"models": {"echo": model}})["models.echo.file"]
        with pytest.raises(ModelUnavailable):
            find_files(str(tmp_path), {}, choice)
    else:
        parse_config({"models": {"echo": model}}, CONFIGS, ENV)
        assert find_files(str(tmp_path), {}, choice).model.suffix == ".onnx"


def test_parse_config_installed_engine_is_found_without_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "poet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[infsup.engines]\npoet = poet_engine:Poet\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert parse(task="poetry", engine="poet").models["echo"].engine == "poet"
    assert "poet_engine" not in sys.modules


def test_parse_config_mapping_that_no_toml_could_be_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    found = errors_of(
        {
            "models": {
                "echo": {**MODEL, "options": {"deep": deep, "object": object(), "none": None, "half": "\ud800", 5: 1}}
            },
        }
    )
    assert {f"models.echo.options.{key}" for key in ("object", "none", "half", "5")} < set(found)
    assert found["models.echo.options.half"].startswith("found text that is not valid Unicode")
    assert any("at most 32 levels" in message for message in found.values())


def test_parse_config_without_models_is_refused() -> None:
    assert list(errors_of({})) == ["models"]
    assert list(errors_of({"models": []})) == ["models"]
    assert list(errors_of({"models": {"echo": 5}})) == ["models.echo"]

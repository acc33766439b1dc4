"""Broken configurations: every mistake is reported at once, with line, key, what was found and what is allowed."""

import json
from pathlib import Path

import pytest

from infsup.supervisor.config import ConfigError, Problem, format_problems, load_config

CONFIGS = Path(__file__).parents[1] / "data" / "configs"
ENV = {"INFSUP_TEST_HOST": "hidden host", "INFSUP_TEST_TOKEN": "hidden-token"}

# For each file every mistake: line, key, what the text of `found` begins with, a part of `allowed`.
Expected = list[tuple[int | None, str, str, str]]
BROKEN: dict[str, Expected] = {
    "types": [
        (1, "pool", '"large"', "a table"),
        (4, "server.host", "127", "host name"),
        (5, "server.port", '"8000"', "0 to 65535"),
        (6, "server.api_keys", "text", "a list of keys"),
        (7, "server.insecure", "1", "true, false"),
        (8, "server.cors_origins[0]", "5", "https://example.org"),
        (9, "server.max_body", "1.5", "50MB"),
        (12, "models.a.task", "1", "text-completion"),
        (13, "models.a.engine", "a list", "llama-cpp"),
        (14, "models.a.aliases", '"b"', "a list of names"),
        (15, "models.a.min_instances", "true", "an integer"),
        (16, "models.a.ttl", "false", "-1 for never"),
        (17, "models.a.context_size", "4096.0", "an integer, 0 or more"),
        (18, "models.a.timeout", "a date", "seconds"),
        (19, "models.a.device", '"gpu"', "a table"),
        (20, "models.a.defaults", "a list", "a table"),
        (21, "models.a.files.mmproj", '"a.gguf"', "a table"),
    ],
    "ranges": [
        (2, "server.port", "65536", "0 to 65535"),
        (3, "server.gateways", "0", "1 to 64"),
        (6, "pool.concurrency", "-1", "0 or more"),
        (7, "pool.memory", '"120%"', "80%"),
        (8, "pool.gpu_slots", "-2", '"auto"'),
        (9, "pool.swap_patience", "-0.5", "0 or more"),
        (14, "models.a.min_instances", "-1", "0 to 1024"),
        (15, "models.a.max_instances", "0", "1 to 1024"),
        (16, "models.a.ttl", "-2", "-1 for never"),
        (17, "models.a.context_size", "9999999999", "0 or more"),
        (18, "models.a.batch_size", "0", "1 or more"),
        (19, "models.a.parallel", "257", "1 to 256"),
        (20, "models.a.retries", "-1", "0 to 100"),
        (21, "models.a.stall_timeout", "0", "more than 0"),
        (22, "models.a.timeout", "nan", "0 for none"),
        (23, "models.a.load_timeout", "inf", "more than 0"),
        (24, "models.a.max_restarts", "-2", "-1 for no limit"),
        (25, "models.a.device.gpu_layers", "-2", "-1 for all"),
        (25, "models.a.device.cpu_threads", "-1", "0 to 4096"),
    ],
    "unknown": [
        (1, "port", "an unknown key", "server, pool, store, log, models"),
        (2, "verbose", "an unknown key", "server, pool, store, log, models"),
        (4, "sever", "an unknown key", "server, pool, store, log, models"),
        (8, "server.prot", "an unknown key", "host, port, api_keys"),
        (9, "server.api_key", "an unknown key", "host, port, api_keys"),
        (10, "server.temperature", "an unknown key", "host, port, api_keys"),
        (15, "models.a.max_instance", "an unknown key", "max_instances"),
        (16, "models.a.threads", "an unknown key", "task, engine, aliases"),
        (17, "models.a.gpu", "an unknown key", "task, engine, aliases"),
        (20, "models.a.device.gpu_layer", "an unknown key", "gpu, gpu_layers, cpu_threads, mem_lock"),
        (22, "models.llama3.task", "nothing", "text-completion"),
        (22, "models.llama3.engine", "nothing", "llama-cpp"),
        (22, "models.llama3.1", "an unknown key", "task, engine, aliases"),
    ],
    "missing": [
        (1, "models.empty.task", "nothing", "text-completion"),
        (1, "models.empty.engine", "nothing", "llama-cpp"),
        (3, "models.no-engine.engine", "nothing", "llama-cpp"),
        (6, "models.no-source.file", "nothing", "an existing file"),
        (9, "models.no-source.python", '"nowhere/python"', "interpreter"),
        (10, "models.no-source.files.tokenizer.file", "nothing", "an existing file"),
        (15, "models.no-file.file", '"nowhere.gguf"', "an existing file"),
        (16, "models.no-file.files.mmproj.file", "nothing", "an existing file"),
        (16, "models.no-file.files.vae.file", '"nowhere.vae"', "an existing file"),
    ],
    "names": [
        (1, 'models."a b"', 'the name "a b"', "letters, digits"),
        (4, 'models."a b".min_instances', "2", "max_instances, which is 1"),
        (6, 'models."größe"', 'the name "größe"', "letters, digits"),
        (13, "models.one.aliases[1]", '"x y"', "letters, digits"),
        (13, "models.one.aliases[2]", '""', "letters, digits"),
        (13, "models.one.aliases[0]", '"two"', "nothing else has"),
        (13, "models.one.aliases[4]", '"same"', "nothing else has"),
        (20, "models.two.aliases[1]", '"same"', "nothing else has"),
    ],
    "engines": [
        (2, "models.a.task", '"speech-to-text"', "chat-completion, embedding, text-completion"),
        (6, "models.b.task", '"text-to-image"', "chat-completion, text-completion"),
        (12, "models.c.engine", '"llama-cp"', "llama-cpp"),
        (15, "models.d.task", '"Poetry Slam"', "small letters"),
        (16, "models.d.engine", '"package.module.Class"', "package.module:Class"),
        (19, "models.e.task", '"embedding"', "chat-completion, text-completion"),
        (25, "models.f.engine", '"transformers"', "llama-cpp, onnx, fault, package.module:Class"),
    ],
    "kinds": [
        (4, "models.a.file", '"stub.onnx"', "a GGUF file"),
        (9, "models.b.file", '"stub.gguf"', "an .onnx file"),
        (14, "models.c.file", '".."', "a directory with one"),
        (19, "models.d.file", '"."', "a directory with one"),
        (21, "models.d.files.tokenizer.file", '"."', "an existing file"),
        (21, "models.d.files.config.url", '"https://example.org/config.json"', "a file that exists"),
        (26, "models.e.url", '"https://example.org/model.gguf"', "a file that exists"),
        (32, "models.f.file", '"nowhere.gguf"', "an existing file"),
    ],
    "engine_tables": [
        (5, "models.a.defaults.max_tokns", "an unknown parameter of llama-cpp", "max_tokens, temperature"),
        (5, "models.a.defaults.temperature", "9", "0 to 5"),
        (5, "models.a.defaults.stop", "a list", "at most 16 texts"),
        (5, "models.a.defaults.n", "17", "1 to 16"),
        (5, "models.a.defaults.logit_bias", "a table", "-100 to 100"),
        (5, "models.a.defaults.repeat_penalty", "0", "over 0, to 10"),
        (6, "models.a.options.chat_templat", "an unknown option of llama-cpp", "chat_template"),
        (6, "models.a.options.onnx_file", "an unknown option of llama-cpp", "chat_template"),
        (12, "models.b.defaults.typical_p", "0.5", "1: this engine does not have it"),
        (12, "models.b.defaults.messages", "a list", "role and content"),
        (13, "models.b.options.chat_template", "5", "Jinja"),
        (18, "models.c.defaults.max_completion_tokens", "an unknown parameter of fault", "max_tokens"),
        (19, "models.c.options.capacity", "257", "1 to 256"),
        (19, "models.c.options.load_delay", "-1", "0 or more"),
        (19, "models.c.options.memory", '"lots"', "200MB"),
        (19, "models.c.options.load_crash", "1", "true, false"),
        (19, "models.c.options.ttl", "an unknown option of fault", "load_delay, load_fail"),
    ],
    "units": [
        (2, "server.max_body", '"50 megabytes"', "50MB"),
        (5, "pool.memory", '"lots"', "80%"),
        (6, "pool.cores", '"3-0"', "0-3,6"),
        (7, "pool.drain_timeout", '"5 minutes"', "5m"),
        (12, "models.a.ttl", '"soon"', "seconds (0 or more)"),
        (13, "models.a.timeout", '"1m1h"', "1h30m"),
        (14, "models.a.load_timeout", '""', "more than 0"),
        (15, "models.a.max_memory", '"50%"', "4GiB"),
        (16, "models.a.recycle_after_seconds", '"never"', "0 for never"),
        (17, "models.a.beat_interval", '"0s"', "more than 0"),
    ],
    "environment": [
        (2, "server.api_keys[0]", "text", "a variable that is set"),
        (3, "server.host", '"${INFSUP_TEST_HOST}"', "an IP address"),
        (8, "models.a.url", '"https://…@example.org:port/model"', "https://"),
        (9, "models.a.aliases[1]", '"${INFSUP_TEST_UNSET}-${not a name}"', "$${"),
        (10, "models.a.defaults.temperature", '"${INFSUP_TEST_HOST}"', "a number"),
        (15, "models.b.options.template", '"${"', "$${"),
        (15, "models.b.options.list[0]", '"${INFSUP_TEST_UNSET}"', "a variable that is set"),
    ],
    "server": [
        (2, "server.host", '"0.0.0.0"', "insecure = true"),
        (3, "server.port", "-1", "0 to 65535"),
        (4, "server.cors_origins[1]", '"example.org"', "https://example.org"),
        (4, "server.cors_origins[2]", '"https://example.org/path"', "without a path"),
        (7, "log.level", '"loud"', '"debug"'),
        (8, "log.format", '"xml"', '"json"'),
        (11, "store.path", '""', "a path"),
        (None, "models", "no models", "[models.NAME]"),
    ],
    "keys": [
        (2, "server.host", '"not a host"', "host name"),
        (3, "server.api_keys[1]", '""', "one or more"),
        (3, "server.api_keys[2]", "text", "without spaces"),
        (3, "server.api_keys[3]", "an integer", "a text"),
        (4, "server.api_keys_file", '"no_keys.txt"', "one key a line"),
        (9, "models.a.python", '"no/such/python"', "interpreter"),
    ],
    "together": [
        (4, "models.a.beat_timeout", "15", "beat_interval, which is 20"),
        (7, "models.a.min_instances", "3", "max_instances, which is 2"),
        (10, "models.a.device.gpu", "true", "gpu_slots is 0"),
        (15, "models.b.min_instances", "2", "max_instances, which is 1"),
        (16, "models.b.device.gpu_layers", '"all"', "an integer"),
        (16, "models.b.device.gpu", '"cuda"', "gpu_slots is 0"),
        (17, "models.b.ttl", '"soon"', "-1 for never"),
    ],
    "tables": [
        (4, "models.a.defaults.temperature", '"hot"', "a number, 0 to 5"),
        (4, "models.a.defaults.max_tokens", "0", "1 or more"),
        (4, "models.a.defaults.top_p", "2", "0 to 1"),
        (4, "models.a.defaults.stop", "a list", "none of them empty"),
        (4, "models.a.defaults.logit_bias", "5", "a table"),
        (4, "models.a.defaults.seed", "1.5", "an integer"),
        (5, "models.a.grammars.answer", '""', "GBNF"),
        (5, "models.a.grammars.number", "5", "JSON Schema"),
        (6, "models.a.preload.messages[0]", "a table", "role"),
        (6, "models.a.preload", "both", "either"),
        (7, "models.a.options.since", "a date", "text"),
        (7, "models.a.options.big", "a very large integer", "64-bit"),
        (7, "models.a.options.list[1][0]", "a date or time", "text"),
        (12, "models.b.preload.prefix", "5", "a text"),
        (12, "models.b.preload.messages", '"hello"', "a list of messages"),
        (12, "models.b.preload", "both", "either"),
    ],
    "files": [
        (4, "models.a.file", '"."', "an existing file"),
        (5, "models.a.sha256", '"abc"', "64 hexadecimal"),
        (10, "models.b.url", '"ftp://example.org/model.gguf"', "https://"),
        (11, "models.b.md5", '"0123456789abcdef0123456789abcdeg"', "32 hexadecimal"),
        (12, "models.b.prepare", '"later"', '"blocking"'),
        (17, "models.c.file", '"~no-such-user-here/model"', "a path"),
        (18, "models.c.files.tokenizer.url", '"https://"', "https://"),
        (18, "models.c.files.tokenizer.sha512", "an unknown key", "sha256"),
        (19, "models.c.python", '"full.toml"', "interpreter"),
    ],
    "syntax": [(3, "", "a mistake in the TOML", "TOML")],
}


def problems_of(name: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(CONFIGS / f"broken_{name}.toml", ENV)
    return caught.value.problems


def problem_at(name: str, key: str) -> Problem:
    return next(problem for problem in problems_of(name) if problem.key_path == key)


def test_broken_configs_all_files_have_expectations() -> None:
    assert {path.stem.removeprefix("broken_") for path in CONFIGS.glob("broken_*.toml")} == set(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_load_config_broken_file_reports_every_mistake_at_once(name: str) -> None:
    problems = problems_of(name)
    assert [(one.line, one.key_path) for one in problems] == [(line, key) for line, key, _, _ in BROKEN[name]]
    for problem, (_, _, found, allowed) in zip(problems, BROKEN[name], strict=True):
        assert problem.found.startswith(found)
        assert allowed in problem.allowed
        assert problem.file.endswith(f"broken_{name}.toml")


@pytest.mark.parametrize("name", BROKEN)
def test_load_config_broken_file_shows_no_secret_and_no_library(name: str) -> None:
    text = format_problems(problems_of(name))
    for hidden in ("do-not-show", "hidden", "with space", "1234567890", "pydantic", "Input should"):
        assert hidden not in text


def test_format_problems_one_mistake_has_place_key_found_and_allowed() -> None:
    problem = Problem("models.a.ttl", '"soon"', "seconds", file="infsup.toml", line=12)
    assert format_problems([problem]) == 'infsup.toml:12: models.a.ttl: found "soon", allowed: seconds'
    assert format_problems([Problem("", "x", "y")]) == "found x, allowed: y"


def test_problem_json_has_the_documented_fields() -> None:
    fields = problem_at("unknown", "server.prot").to_json()
    assert json.loads(json.dumps(fields)) == fields
    assert list(fields) == ["file", "line", "key", "found", "allowed", "message", "severity"]
    assert fields["message"].startswith('found an unknown key (did you mean "port"?), allowed: host, port')


@pytest.mark.parametrize(
    ("name", "key", "note"),
    [
        ("unknown", "port", "it belongs into [server]"),
        ("unknown", "sever", 'did you mean "server"?'),
        ("unknown", "server.api_key", 'did you mean "api_keys"?'),
        ("unknown", "models.llama3.1", 'names with dots need quotes, such as [models."llama3.1"]'),
        ("unknown", "models.a.gpu", "it belongs into device of [models.NAME]"),
        ("engines", "models.a.task", "the engine fault does not serve it"),
        ("engines", "models.c.engine", 'did you mean "llama-cpp"?'),
        ("engines", "models.e.task", "this version of the engine onnx does not serve it yet"),
        ("engines", "models.f.engine", "this version does not serve this engine yet"),
        ("kinds", "models.a.file", "it does not begin with the letters GGUF"),
        ("kinds", "models.c.file", "the directory has no .onnx file, neither itself nor in onnx/"),
        ("kinds", "models.e.url", "downloads are not there yet: give file"),
        ("engine_tables", "models.a.defaults.max_tokns", 'did you mean "max_tokens"?'),
        ("engine_tables", "models.a.options.chat_templat", 'did you mean "chat_template"?'),
        ("environment", "server.api_keys[0]", "the environment variable INFSUP_TEST_UNSET is not set"),
        ("names", "models.two.aliases[1]", "already an alias of one"),
        ("missing", "models.no-file.file", f"no such file: {CONFIGS / 'nowhere.gguf'}"),
        ("files", "models.a.file", f"a directory: {CONFIGS}"),
        ("keys", "server.api_keys_file", "the file has no keys"),
    ],
)
def test_load_config_broken_file_explains_what_it_found(name: str, key: str, note: str) -> None:
    assert problem_at(name, key).note == note

"""A configuration on a machine: what is decided for it, and every mistake at once, with its line."""

from pathlib import Path

import pytest

from infsup.supervisor.config import ConfigError
from infsup.supervisor.local_config import load_here
from infsup.supervisor.machine import Machine

from .gguf_files import STRING, U32, gguf, pair

GB = 1_000_000_000
BOX = Machine((0, 1), frozenset({0, 1}), None, 4 * GB, 0)
LONG = gguf(
    [
        pair("general.architecture", STRING, "llama"),
        pair("llama.context_length", U32, 131_072),
        pair("llama.block_count", U32, 32),
        pair("llama.embedding_length", U32, 4096),
        pair("llama.attention.head_count", U32, 32),
        pair("llama.attention.head_count_kv", U32, 8),
    ]
)
MODEL = '[models.m]\ntask = "text-completion"\nengine = "llama-cpp"\nfile = "m.gguf"\n'


def written(directory: Path, *lines: str, model: bytes = LONG) -> Path:
    (directory / "m.gguf").write_bytes(model)
    file = directory / "infsup.toml"
    file.write_text(f'store.path = "{directory}"\n' + MODEL + "\n".join(lines), encoding="utf-8")
    return file


def test_load_here_own_context_is_cut_to_what_memory_allows(tmp_path: Path) -> None:
    local = load_here(written(tmp_path), machine=BOX)
    model = local.config.models["m"]
    assert 4096 < model.context_size < 131_072
    assert local.budget.limits("m").needs.memory <= 0.8 * 4 * GB
    (warning,) = local.warnings
    assert str(warning).endswith(f"allowed: at most {model.context_size} tokens")
    assert "models.m.context_size: warning: found the model's own 131072 tokens" in str(warning)


def test_load_here_own_context_leaves_room_for_what_is_kept_loaded(tmp_path: Path) -> None:
    alone = load_here(written(tmp_path, "min_instances = 1"), machine=BOX).config.models["m"]
    twice = load_here(written(tmp_path, "min_instances = 2", "max_instances = 2"), machine=BOX)
    assert twice.config.models["m"].context_size < alone.context_size
    assert 2 * twice.budget.limits("m").needs.memory <= twice.budget.total.memory


def test_load_here_twice_gives_the_same(tmp_path: Path) -> None:
    file = written(tmp_path)
    first, again = load_here(file, machine=BOX), load_here(file, machine=BOX)
    assert first.config.models["m"].load_key() == again.config.models["m"].load_key()


def test_load_here_with_memory_for_it_leaves_the_models_own_context(tmp_path: Path) -> None:
    large = Machine((0, 1), frozenset({0, 1}), None, 400 * GB, 0)
    local = load_here(written(tmp_path), machine=large)
    assert (local.config.models["m"].context_size, local.warnings) == (0, ())


def test_load_here_context_above_the_trained_length_warns(tmp_path: Path) -> None:
    large = Machine((0, 1), frozenset({0, 1}), None, 400 * GB, 0)
    (warning,) = load_here(written(tmp_path, "context_size = 200_000"), machine=large).warnings
    assert (warning.key_path, warning.line, warning.to_json()["severity"]) == ("models.m.context_size", 6, "warning")
    assert "at most 131072 tokens" in warning.allowed


def test_load_here_damaged_model_warns_and_goes_by_its_size(tmp_path: Path) -> None:
    local = load_here(written(tmp_path, model=LONG[:100] + bytes(50)), machine=BOX)
    (warning,) = local.warnings
    assert (warning.key_path, warning.line) == ("models.m.file", 5)
    assert "estimated by size alone" in warning.note
    assert local.budget.limits("m").needs.memory < 100_000_000


def test_load_here_tells_mistakes_of_the_file_and_of_the_machine_together(tmp_path: Path) -> None:
    file = written(tmp_path, "ttl = -5", "[models.e]", 'task = "embedding"', 'engine = "fault"', "device.gpu = true")
    with pytest.raises(ConfigError) as caught:
        load_here(file, machine=BOX, starting=False)
    assert [(problem.line, problem.key_path) for problem in caught.value.problems] == [
        (6, "models.m.ttl"),
        (10, "models.e.device.gpu"),
    ]
    assert {problem.to_json()["severity"] for problem in caught.value.problems} == {"error"}


def test_load_here_starting_lives_with_a_model_that_cannot_run(tmp_path: Path) -> None:
    file = written(tmp_path, "device.gpu = true")
    (warning,) = load_here(file, machine=BOX).warnings
    assert warning.key_path == "models.m.device.gpu"
    with pytest.raises(ConfigError):
        load_here(written(tmp_path, "device.gpu = true", "min_instances = 1"), machine=BOX)

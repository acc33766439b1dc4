import sys
from pathlib import Path

import pytest

from infsup.protocol.errors import EngineMissing, InvalidRequest
from infsup.workers import registry
from infsup.workers.engines.fault import FaultEngine
from infsup.workers.registry import ENGINES, EngineEntry, create_engine, find_engine, missing_package


def test_find_engine_in_the_table_returns_its_entry() -> None:
    assert find_engine("llama-cpp").install == "pip install 'infsup[llama-cpp]'"
    assert isinstance(create_engine(find_engine("fault")), FaultEngine)


def test_find_engine_unknown_lists_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="found 'lama', known are onnx, llama-cpp, fault") as caught:
        find_engine("lama")
    assert caught.value.param == "engine"


def test_find_engine_of_an_entry_point_returns_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_entry_points", lambda: {"mine": "infsup.workers.engines.fault:FaultEngine"})
    assert isinstance(create_engine(find_engine("mine")), FaultEngine)


def test_create_engine_of_a_path_makes_that_class() -> None:
    assert isinstance(create_engine(find_engine("infsup.workers.engines.fault:FaultEngine")), FaultEngine)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.module:Engine", "no module 'no'"),
        ("infsup.workers.nothing:Engine", "no module 'infsup.workers.nothing'"),
        ("infsup.workers.engines.fault:Missing", "expected a subclass"),
        ("infsup.workers.engines.fault:hash_vector", "expected a subclass"),
    ],
)
def test_create_engine_of_a_wrong_path_says_what_is_wrong(path: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        create_engine(find_engine(path))
    assert words in caught.value.message


def test_create_engine_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_engine.py").write_text("import llama_cpp_that_is_not_there\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    entry = EngineEntry(
        "needy", "needy_engine:Engine", packages={"llama_cpp_that_is_not_there": "llama-pkg"}, install="pip install it"
    )
    with pytest.raises(EngineMissing, match="the engine needy needs llama-pkg, which is not installed: pip install it"):
        create_engine(entry)
    assert "needy_engine" not in sys.modules


def test_missing_package_of_an_entry_without_advice_names_the_module() -> None:
    error = ModuleNotFoundError("No module named 'a.b'", name="a.b")
    assert "needs a, " in missing_package(EngineEntry("x:Y", "x:Y"), error).message


def test_table_entries_are_named_by_their_keys() -> None:
    assert [name for name, entry in ENGINES.items() if entry.name != name] == []

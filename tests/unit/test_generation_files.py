"""Finding a model's files, and refusing what is no model before a library sees it."""

from pathlib import Path

import pytest

from infsup.protocol.errors import ModelUnavailable
from infsup.workers.engines.llama_cpp_load import check_gguf
from infsup.workers.engines.onnx_files import find_files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def test_find_files_beside_the_model_the_folder_of_its_name_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "tiny.onnx", "tiny/tokenizer.json", "tokenizer.json", "config.json")
    files = find_files(str(tmp_path / "tiny.onnx"), {})
    assert files.find("tokenizer.json") == tmp_path / "tiny/tokenizer.json"
    assert files.find("config.json") == tmp_path / "config.json"
    assert files.find("generation_config.json") is None


def test_find_files_folder_of_the_hub_has_them_in_the_parent(tmp_path: Path) -> None:
    touch(tmp_path, "onnx/model.onnx", "onnx/model_q4.onnx", "tokenizer.json")
    files = find_files(str(tmp_path), {})
    assert files.model == tmp_path / "onnx/model.onnx"
    assert files.find("tokenizer.json") == tmp_path / "tokenizer.json"
    assert find_files(str(tmp_path), {}, "model_q4.onnx").model == tmp_path / "onnx/model_q4.onnx"


def test_find_files_named_components_win(tmp_path: Path) -> None:
    touch(tmp_path, "a.onnx", "tokenizer.json", "other/t.json")
    files = find_files(str(tmp_path), {"tokenizer": str(tmp_path / "other/t.json")})
    assert files.find("tokenizer.json") == tmp_path / "other/t.json"
    with pytest.raises(ModelUnavailable, match="does not exist"):
        find_files(str(tmp_path), {"tokenizer": str(tmp_path / "none.json")})


def test_find_files_nothing_or_too_much_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"has no \.onnx file"):
        find_files(str(tmp_path), {})
    touch(tmp_path, "a.onnx", "b.onnx", "readme.md")
    with pytest.raises(ModelUnavailable, match=r"several \.onnx files \(a\.onnx, b\.onnx\)"):
        find_files(str(tmp_path), {})
    with pytest.raises(ModelUnavailable, match=r"has no c\.onnx"):
        find_files(str(tmp_path), {}, "c.onnx")
    with pytest.raises(ModelUnavailable, match=r"no \.onnx file"):
        find_files(str(tmp_path / "readme.md"), {})
    with pytest.raises(ModelUnavailable, match="does not exist"):
        find_files("", {})


def test_check_gguf_refuses_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "good.gguf").write_bytes(b"GGUF....")
    assert check_gguf(str(tmp_path / "good.gguf")) == tmp_path / "good.gguf"
    for file, reason in [("text.gguf", "no GGUF"), ("none.gguf", "does not exist"), ("", "folder")]:
        with pytest.raises(ModelUnavailable, match=reason):
            check_gguf(str(tmp_path / file))

"""Vocabularies from tokenizer files: bytes of tokens, control tokens, BOS and end tokens."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from infsup.workers.generation.hf_folder import end_token_ids, template_sources, trained_context
from infsup.workers.generation.hf_tokenizer import load_vocabulary


def byte_level(folder: Path, *, bos: bool = False) -> Path:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer: Any = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_end|>", "<s>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 257)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def test_load_vocabulary_byte_level_pieces_are_bytes(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(byte_level(tmp_path), {}, [], 300)
    text = "naïve 😀\n\t<tool>"
    assert b"".join(vocabulary.pieces[token] for token in vocabulary.encode(text, special=True)) == text.encode()
    assert len(vocabulary.pieces) == 300
    assert sorted(piece for piece in vocabulary.pieces if len(piece) == 1) == [bytes((i,)) for i in range(256)]


def test_load_vocabulary_control_tokens_only_when_asked(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(byte_level(tmp_path), {}, [])
    assert vocabulary.special == {"<|im_end|>": 256, "<s>": 257}
    assert vocabulary.pieces[256] == b""
    assert vocabulary.encode("<|im_end|>", special=True) == [256]
    assert len(vocabulary.encode("<|im_end|>", special=False)) == 10
    assert vocabulary.encode("<|im_end|>", special=True) == [256]


def test_load_vocabulary_end_tokens_from_configuration_and_known_names(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(byte_level(tmp_path), {"eos_token": {"content": "<s>"}}, [5])
    assert vocabulary.end_tokens == {5, 256, 257}
    assert vocabulary.names == {"eos_token": "<s>"}


def test_load_vocabulary_bos_only_if_the_tokenizer_adds_it(tmp_path: Path) -> None:
    config = {"bos_token": "<s>"}
    plain = load_vocabulary(byte_level(tmp_path), config, [])
    assert (plain.bos, plain.adds_bos, plain.with_bos([1])) == (257, False, [1])
    adding = load_vocabulary(byte_level(tmp_path, bos=True), config, [])
    assert (adding.bos, adding.adds_bos, adding.with_bos([1])) == (257, True, [257, 1])
    assert adding.with_bos([257, 1]) == [257, 1]
    assert adding.encode("", special=True) == []


def test_load_vocabulary_sentencepiece_pieces_are_bytes(tmp_path: Path) -> None:
    tokenizer = Tokenizer(
        models.BPE({"▁a": 0, "<0xF0>": 1, "é": 2, "<unk>": 3}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.save(str(tmp_path / "t.json"))
    vocabulary = load_vocabulary(tmp_path / "t.json", {}, [])
    assert vocabulary.pieces[:3] == (b" a", b"\xf0", "é".encode())


def test_load_vocabulary_broken_file_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"model": {"type": "None"}}')
    with pytest.raises(ValueError, match=r"\S"):
        load_vocabulary(tmp_path / "t.json", {}, [])


def test_hf_folder_reads_what_configurations_say(tmp_path: Path) -> None:
    assert end_token_ids({"eos_token_id": [1, 2]}, {"eos_token_id": 3}, {"eos_token_id": None}, {}) == {1, 2, 3}
    assert trained_context({"n_positions": 512}) == 512
    assert trained_context({}) == 0
    assert template_sources({"chat_template": "x"}, None) == {"default": "x"}
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    assert template_sources({"chat_template": named}, None) == {"default": "a", "tool_use": "b"}
    (tmp_path / "chat_template.jinja").write_text("j")
    assert template_sources({"chat_template": "x"}, tmp_path / "chat_template.jinja") == {"default": "j"}


def test_vocabulary_fewest_tokens_are_never_more_than_there_are(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(byte_level(tmp_path), {}, [])
    assert vocabulary.longest == len("<|im_end|>")
    for text in ("", "a", "<|im_end|>" * 3, "<|im_end|>a", "naïve 😀"):
        assert vocabulary.fewest_tokens(len(text)) <= len(vocabulary.encode(text, special=True))
    assert [vocabulary.fewest_tokens(length) for length in (0, 1, 10, 11)] == [0, 1, 1, 2]

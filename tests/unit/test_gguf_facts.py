"""What is read from the heads of GGUF files."""

import contextlib
import os
import random
import struct
from pathlib import Path

import pytest

from infsup.supervisor.gguf_facts import Facts, GgufError, read_facts

from .gguf_files import (
    ARRAY,
    BOOL,
    F32,
    I32,
    LLAMA,
    STRING,
    TENSORS,
    U32,
    U64,
    array,
    gguf,
    pair,
    text,
    write,
)


def facts_of(path: Path, *pairs: bytes) -> Facts:
    return read_facts(write(path, gguf(pairs)))


def reason(file: Path) -> str:
    with pytest.raises(GgufError) as caught:
        read_facts(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    return message


@pytest.mark.parametrize("version", [2, 3])
def test_read_facts_complete_head_gives_all_facts(tmp_path: Path, version: int) -> None:
    data = gguf(LLAMA, TENSORS, version) + bytes(1000)
    assert read_facts(write(tmp_path, data)) == Facts(
        architecture="llama",
        context_length=2048,
        block_count=4,
        embedding_length=128,
        head_count=8,
        head_count_kv=2,
        kv_heads=8,
        key_length=16,
        value_length=16,
        vocabulary=4,
        file_type=7,
        name="Tiny",
        size_label="2M",
        parameters=128 * 4 + 128,
        tensors=2,
        split_count=1,
        has_chat_template=True,
    )


def test_read_facts_minimal_head_leaves_the_rest_unknown(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, pair("general.architecture", STRING, "bert"))
    assert facts == Facts(architecture="bert")
    assert facts.file_type == -1


def test_read_facts_heads_per_layer_gives_most_and_sum(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        pair("general.architecture", STRING, "lfm2"),
        pair("lfm2.block_count", U32, 4),
        array("lfm2.attention.head_count_kv", I32, [0, 8, 0, 4]),
        pair("lfm2.attention.key_length", U32, 64),
        pair("lfm2.attention.value_length", U64, 32),
    )
    assert (facts.head_count_kv, facts.kv_heads, facts.key_length, facts.value_length) == (8, 12, 64, 32)


def test_read_facts_without_kv_heads_takes_all_heads(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        pair("general.architecture", STRING, "gpt2"),
        pair("gpt2.block_count", U32, 2),
        pair("gpt2.attention.head_count", U32, 12),
    )
    assert (facts.head_count_kv, facts.kv_heads) == (12, 24)


def test_read_facts_values_of_unexpected_types_count_as_unknown(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        pair("general.architecture", STRING, "llama"),
        pair("general.name", U32, 1),
        pair("llama.context_length", STRING, "many"),
        pair("llama.block_count", I32, -4),
        pair("llama.embedding_length", F32, 1.5),
        pair("llama.attention.head_count", BOOL, 1),
    )
    assert facts == Facts(architecture="llama")


def test_read_facts_head_longer_than_one_read_is_read_on(tmp_path: Path) -> None:
    generator = random.Random(3)
    tokens = ["x" * generator.randrange(90) for _ in range(40_000)]
    pairs = [*LLAMA[:10], array("tokenizer.ggml.tokens", STRING, tokens), *LLAMA[11:]]
    facts = read_facts(write(tmp_path, gguf(pairs, TENSORS)))
    assert (facts.vocabulary, facts.has_chat_template, facts.tensors) == (40_000, True, 2)


def test_read_facts_long_text_is_skipped(tmp_path: Path) -> None:
    head = [pair("general.license", STRING, "x" * 3_000_000), *LLAMA]
    assert facts_of(tmp_path, *head).context_length == 2048


def test_read_facts_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    data = gguf([*LLAMA[:13], pair("tokenizer.chat_template", STRING, "{{ m }}")], TENSORS)
    for length in range(len(data)):
        assert "truncated" in reason(write(tmp_path, data[:length]))


def test_read_facts_damaged_anywhere_is_facts_or_an_error(tmp_path: Path) -> None:
    data = gguf([*LLAMA[:13], pair("tokenizer.chat_template", STRING, "{{ m }}")], TENSORS)
    generator = random.Random(5)
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(4, len(data))] = generator.choice([0, 1, 9, 127, 255])
        with contextlib.suppress(GgufError):
            assert read_facts(write(tmp_path, bytes(damaged))).architecture


HUGE = 2**64 - 1
ARCHITECTURE = pair("general.architecture", STRING, "llama")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"PK\x03\x04" + bytes(40), "not a GGUF file: it begins with b'PK"),
        (gguf(LLAMA, version=1), "GGUF version 1; supported are versions 2 and 3"),
        (gguf(LLAMA, version=0x03000000), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 1), "more than any model has"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, HUGE), "more than any model has"),
        (gguf([struct.pack("<Q", HUGE)]), "a key of 18446744073709551615 bytes"),
        (gguf([text("a") + struct.pack("<IQ", STRING, HUGE)]), "absurd"),
        (gguf([text("a") + struct.pack("<IIQ", ARRAY, F32, HUGE)]), "absurd"),
        (gguf([text("a") + struct.pack("<IIQ", ARRAY, STRING, HUGE)]), "more than 8000000 strings"),
        (gguf([text("a") + struct.pack("<IIQQ", ARRAY, STRING, 2, HUGE)]), "absurd"),
        (gguf([text("a") + struct.pack("<IIQ", ARRAY, ARRAY, 1)]), "an array of arrays in 'a'"),
        (gguf([text("a") + struct.pack("<I", 13)]), "unknown type 13 of 'a'"),
        (gguf([text("a") + struct.pack("<IIQ", ARRAY, 99, 1)]), "unknown type 99 of 'a'"),
        (gguf([ARCHITECTURE, ARCHITECTURE]), "'general.architecture' is there twice"),
        (gguf([pair("general.name", STRING, "x")]), "'general.architecture' is missing"),
        (gguf([ARCHITECTURE], [text("t") + struct.pack("<I", 9)]), "a tensor with 9 dimensions"),
    ],
)
def test_read_facts_malformed_file_says_what_is_wrong(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in reason(write(tmp_path, data))


def test_read_facts_other_than_a_file_says_so(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert "not a regular file" in reason(pipe)
    assert "Is a directory" in reason(tmp_path)
    assert "No such file" in reason(tmp_path / "none.gguf")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

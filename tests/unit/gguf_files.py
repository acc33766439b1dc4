"""Writes the heads of GGUF files, byte by byte."""

import struct
from collections.abc import Sequence
from pathlib import Path

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
FORMS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(kind: int, value: object) -> bytes:
    return text(str(value)) if kind == STRING else struct.pack(FORMS[kind], value)


def pair(key: str, kind: int, value: object) -> bytes:
    return text(key) + struct.pack("<I", kind) + typed(kind, value)


def array(key: str, kind: int, values: Sequence[object]) -> bytes:
    items = b"".join(typed(kind, value) for value in values)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + items


def tensor(name: str, *shape: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 1, 0)


def gguf(pairs: Sequence[bytes], tensors: Sequence[bytes] = (), version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join([*pairs, *tensors])


LLAMA = (
    pair("general.architecture", STRING, "llama"),
    pair("general.name", STRING, "Tiny"),
    pair("general.size_label", STRING, "2M"),
    pair("general.file_type", U32, 7),
    pair("llama.context_length", U32, 2048),
    pair("llama.block_count", U32, 4),
    pair("llama.embedding_length", U32, 128),
    pair("llama.attention.head_count", U32, 8),
    pair("llama.attention.head_count_kv", U32, 2),
    pair("llama.rope.freq_base", F32, 10000.0),
    array("tokenizer.ggml.tokens", STRING, ["<s>", "", "hello", "wörld"]),
    array("tokenizer.ggml.scores", F32, [0.0, 1.0, 2.0, 3.0]),
    pair("tokenizer.ggml.add_bos_token", BOOL, 1),
    pair("tokenizer.chat_template", STRING, "{{ messages }}" * 1000),
)
TENSORS = (tensor("token_embd.weight", 128, 4), tensor("output_norm.weight", 128))


def write(path: Path, data: bytes) -> Path:
    file = path / "model.gguf"
    file.write_bytes(data)
    return file

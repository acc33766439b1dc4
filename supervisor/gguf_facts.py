"""What the head of a GGUF file says about its model, read without loading it and without any library.

The file may be half downloaded, damaged or hostile: every length is checked before anything is read, and the work is
bounded.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from .gguf_head import GgufError, Head, opened

_Value: TypeAlias = int | float | bool | str | tuple[int, ...]

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_KEYS = 4096
_MAX_TENSORS = 1_000_000
_MAX_DIMENSIONS = 8
_MAX_NAME_BYTES = 4096
_MAX_KEPT_TEXT = 4096
_MAX_KEPT_ARRAY = 512

_STRING, _ARRAY = 8, 9
_FORMS = {**dict(enumerate("BbHhIif?")), 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct("<" + form) for kind, form in _FORMS.items()}
_INTEGERS = frozenset({0, 1, 2, 3, 4, 5, 10, 11})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model. Numbers that the file does not tell are 0, texts are ""."""

    architecture: str
    context_length: int = 0
    """Tokens that it was trained for."""
    block_count: int = 0
    embedding_length: int = 0
    head_count: int = 0
    head_count_kv: int = 0
    """Heads of the KV cache in one layer; where layers differ, the most."""
    kv_heads: int = 0
    """Heads of the KV cache in all layers together."""
    key_length: int = 0
    value_length: int = 0
    vocabulary: int = 0
    """Number of tokens."""
    file_type: int = -1
    """llama.cpp's number for the quantisation of most tensors; -1 = not told."""
    name: str = ""
    size_label: str = ""
    parameters: int = 0
    """Numbers in the tensors of this file."""
    tensors: int = 0
    split_count: int = 1
    """Files that the model consists of."""
    has_chat_template: bool = False


def read_facts(path: Path) -> Facts:
    """Read the head of a file: 10 ms for a vocabulary of 32,000 tokens, 100 ms for the largest.

    Raises `GgufError` for whatever is not a complete head of a GGUF file, and if the file cannot be read.
    """
    try:
        with opened(path) as stream:
            return _read(Head(stream, os.fstat(stream.fileno()).st_size))
    except OSError as error:
        raise GgufError(f"{path}: {error.strerror or error}") from error
    except GgufError as error:
        raise GgufError(f"{path}: {error}") from None


def _read(head: Head) -> Facts:
    version = _read_version(head)
    tensors, keys = head.u64(), head.u64()
    if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
        raise GgufError(f"{tensors} tensors and {keys} keys are more than any model has (GGUF version {version})")
    values: dict[str, _Value] = {}
    for _ in range(keys):
        key = _text(head, _MAX_NAME_BYTES, "a key")
        if key in values:
            raise GgufError(f"the key {key!r} is there twice")
        values[key] = _value(head, key)
    parameters = sum(_tensor_size(head) for _ in range(tensors))
    return _facts(_Metadata(values), tensors, parameters)


def _read_version(head: Head) -> int:
    magic = head.take(len(MAGIC))
    if magic != MAGIC:
        raise GgufError(f"not a GGUF file: it begins with {magic!r}, not {MAGIC!r}")
    version = head.u32()
    if version not in _VERSIONS:
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        reason = "a file for big-endian machines" if big_endian else f"version {version}"
        raise GgufError(f"GGUF {reason}; supported are versions {_VERSIONS[0]} and {_VERSIONS[1]}, little-endian")
    return version


def _text(head: Head, limit: int, what: str) -> str:
    length = head.u64()
    if length > limit:
        raise GgufError(f"{what} of {length} bytes; allowed are {limit}")
    return head.take(length).decode("utf-8", "replace")


def _value(head: Head, key: str) -> _Value:
    """Read a value; for an array of texts its length is enough. What is too long to be of interest becomes empty."""
    kind = head.u32()
    if kind == _STRING:
        return _string(head)
    if kind == _ARRAY:
        return _array(head, key)
    return head.scalar(_form(kind, key))


def _form(kind: int, key: str) -> struct.Struct:
    if kind not in _SCALARS:
        raise GgufError(f"unknown type {kind} of {key!r}")
    return _SCALARS[kind]


def _string(head: Head) -> str:
    length = head.u64()
    if length <= _MAX_KEPT_TEXT:
        return head.take(length).decode("utf-8", "replace")
    head.skip(length)
    return ""


def _array(head: Head, key: str) -> _Value:
    kind, count = head.u32(), head.u64()
    if kind == _STRING:
        head.skip_strings(count)
        return (count,)
    if kind == _ARRAY:
        raise GgufError(f"an array of arrays in {key!r}")
    form = _form(kind, key)
    if kind not in _INTEGERS or count > _MAX_KEPT_ARRAY:
        head.skip(form.size * count)
        return ()
    return tuple(int(head.scalar(form)) for _ in range(count))


def _tensor_size(head: Head) -> int:
    """Read one tensor's description; return how many numbers it has."""
    _text(head, _MAX_NAME_BYTES, "the name of a tensor")
    dimensions = head.u32()
    if dimensions > _MAX_DIMENSIONS:
        raise GgufError(f"a tensor with {dimensions} dimensions; allowed are {_MAX_DIMENSIONS}")
    size = 1
    for _ in range(dimensions):
        size *= head.u64()
    head.skip(4 + 8)  # its type, and where its data is
    return size


class _Metadata:
    """Access to the values; one of another type than expected counts as not told."""

    def __init__(self, values: dict[str, _Value]) -> None:
        self._values = values
        self.architecture = self.text("general.architecture")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        value = self._values.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: int = 0) -> int:
        return max(self.per_layer(key), default=default)

    def per_layer(self, key: str) -> tuple[int, ...]:
        """Return an array of natural numbers, or the one natural number that stands for all layers."""
        value = self._values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = (value,)
        return value if isinstance(value, tuple) and all(item >= 0 for item in value) else ()

    def of_model(self, name: str) -> str:
        return f"{self.architecture}.{name}"


def _facts(metadata: _Metadata, tensors: int, parameters: int) -> Facts:
    own = metadata.of_model
    if not metadata.architecture:
        raise GgufError("the key 'general.architecture' is missing")
    blocks, embedding = metadata.number(own("block_count")), metadata.number(own("embedding_length"))
    heads = metadata.number(own("attention.head_count"))
    kv_heads = metadata.per_layer(own("attention.head_count_kv")) or metadata.per_layer(own("attention.head_count"))
    head_length = embedding // heads if heads else 0
    return Facts(
        architecture=metadata.architecture,
        context_length=metadata.number(own("context_length")),
        block_count=blocks,
        embedding_length=embedding,
        head_count=heads,
        head_count_kv=max(kv_heads, default=0),
        kv_heads=sum(kv_heads) if len(kv_heads) > 1 else sum(kv_heads) * blocks,
        key_length=metadata.number(own("attention.key_length"), head_length),
        value_length=metadata.number(own("attention.value_length"), head_length),
        vocabulary=metadata.number("tokenizer.ggml.tokens"),
        file_type=metadata.number("general.file_type", -1),
        name=metadata.text("general.name"),
        size_label=metadata.text("general.size_label"),
        parameters=parameters,
        tensors=tensors,
        split_count=max(1, metadata.number("split.count")),
        has_chat_template="tokenizer.chat_template" in metadata,
    )

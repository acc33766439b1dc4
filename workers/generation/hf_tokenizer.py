"""The vocabulary of a `tokenizer.json` (package `tokenizers`)."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from .checks import is_list, is_map
from .vocabulary import END_NAMES, Encode, Vocabulary

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def load_vocabulary(path: Path, config: Mapping[str, Any], end_tokens: Iterable[int], size: int = 0) -> Vocabulary:
    """Read a tokenizer.

    `config` is `tokenizer_config.json`'s content, `end_tokens` are those that the model's configuration names,
    `size` is the number of logits if known. Raises `OSError` and `ValueError` when the file cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:
        raise ValueError(str(error)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    names = {name: content for name in _NAMES if (content := token_text(config.get(name)))}
    special = {str(token["content"]): int(token["id"]) for token in data.get("added_tokens", ()) if token["special"]}
    ends = {tokenizer.token_to_id(name) for name in (names.get("eos_token"), *END_NAMES) if name in special}
    bos, adds_bos = _bos(tokenizer, special, names)
    return Vocabulary(
        pieces=_pieces(tokenizer, data, special, size),
        encode=_encoder(tokenizer),
        special=special,
        end_tokens=frozenset(end_tokens) | {token for token in ends if token is not None},
        bos=bos,
        adds_bos=adds_bos,
        names=names,
    )


def token_text(value: object) -> str:
    """Return the text of a token in a configuration: text, or a map with `content`; "" for anything else."""
    if is_map(value):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _bos(tokenizer: Tokenizer, special: Mapping[str, int], names: Mapping[str, str]) -> tuple[int | None, bool]:
    added = tokenizer.encode("", add_special_tokens=True).ids
    bos = special.get(names.get("bos_token", ""))
    adds = bool(added) and (bos is None or added[0] == bos) and added[0] in special.values()
    return (added[0] if adds else bos), adds


def _encoder(tokenizer: Tokenizer) -> Encode:
    def encode(text: str, *, special: bool) -> list[int]:
        tokenizer.encode_special_tokens = not special
        # Unlike `encode` this lets the link's thread beat meanwhile, and counts no offsets.
        return list(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    return encode


def _pieces(tokenizer: Tokenizer, data: Mapping[str, Any], special: Mapping[str, int], size: int) -> tuple[bytes, ...]:
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    added = {int(token["id"]) for token in data.get("added_tokens", ())}
    to_bytes = _token_bytes(data)
    pieces = [b""] * max(size, max(vocabulary.values(), default=-1) + 1)
    control = set(special.values())
    for text, token in vocabulary.items():
        if token not in control:
            pieces[token] = text.encode() if token in added else to_bytes(text)
    return tuple(pieces)


def _token_bytes(data: Mapping[str, Any]) -> Callable[[str], bytes]:
    """Return how a token's name becomes bytes: byte-level BPE or sentencepiece."""
    kinds = {str(part.get("type")) for part in _parts(data.get("decoder")) + _parts(data.get("pre_tokenizer"))}
    if "ByteLevel" in kinds:
        table = _byte_decoder()
        return lambda text: bytes(map(table.__getitem__, text)) if all(c in table for c in text) else text.encode()
    return _sentencepiece_bytes


def _parts(part: Any) -> list[Mapping[str, Any]]:
    """Return the steps of a decoder or pre-tokenizer, which may be a sequence."""
    if not is_map(part):
        return []
    inner = part.get("decoders") or part.get("pretokenizers")
    return [part, *(step for one in (inner if is_list(inner) else ()) for step in _parts(one))]


def _sentencepiece_bytes(text: str) -> bytes:
    byte = _BYTE.fullmatch(text)
    return bytes((int(byte[1], 16),)) if byte else text.replace("\u2581", " ").encode()


def _byte_decoder() -> dict[str, int]:
    """Return byte-level BPE's table: printable Latin-1 is itself, the other bytes are U+0100 and on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return table | {chr(0x100 + i): byte for i, byte in enumerate(others)}

"""The vocabulary of a GGUF file, through llama.cpp."""

import ctypes
from typing import Any

from infsup.workers.generation.vocabulary import Encode, Vocabulary

_PIECE_BYTES = 512


def read_vocabulary(library: Any, model: Any) -> Vocabulary:
    """Read all tables once; nothing calls into C for single tokens later."""
    vocab = library.llama_model_get_vocab(model)
    size = int(library.llama_vocab_n_tokens(vocab))
    known = range(size)
    control = library.LLAMA_TOKEN_ATTR_CONTROL | library.LLAMA_TOKEN_ATTR_UNKNOWN
    special = {
        text: token
        for token in known
        if library.llama_vocab_get_attr(vocab, token) & control and (text := _text(library, vocab, token))
    }
    bos = int(library.llama_vocab_bos(vocab))
    names = {"bos_token": bos, "eos_token": int(library.llama_vocab_eos(vocab))}
    return Vocabulary(
        pieces=_pieces(library, vocab, size),
        encode=_encoder(library, vocab),
        special=special,
        end_tokens=frozenset(token for token in known if library.llama_vocab_is_eog(vocab, token)),
        bos=bos if bos >= 0 else None,
        adds_bos=bool(library.llama_vocab_get_add_bos(vocab)),
        names={name: _text(library, vocab, token) for name, token in names.items() if token >= 0},
    )


def _text(library: Any, vocab: Any, token: int) -> str:
    return (library.llama_vocab_get_text(vocab, token) or b"").decode(errors="replace")


def _pieces(library: Any, vocab: Any, size: int) -> tuple[bytes, ...]:
    buffer = ctypes.create_string_buffer(_PIECE_BYTES)
    pieces: list[bytes] = []
    for token in range(size):
        length = library.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)  # noqa: FBT003
        if length < 0:  # too long for the buffer
            buffer = ctypes.create_string_buffer(-length)
            length = library.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)  # noqa: FBT003
        pieces.append(buffer.raw[: max(length, 0)])
    return tuple(pieces)


def _encoder(library: Any, vocab: Any) -> Encode:
    def encode(text: str, *, special: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 8
        while True:
            tokens = (library.llama_token * room)()
            count = library.llama_tokenize(vocab, data, len(data), tokens, room, False, special)  # noqa: FBT003
            if count >= 0:
                return list(tokens[:count])
            room = -count

    return encode

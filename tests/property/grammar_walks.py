"""Random ways through a grammar over the tiny model's tokens: what a model could be made to say at worst."""

import random
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infsup.protocol.errors import EngineFailure
from infsup.workers.generation.constraint import Constraint
from infsup.workers.generation.grammar.guide import Guide
from infsup.workers.generation.grammar.lark import Rules
from infsup.workers.generation.hf_tokenizer import load_vocabulary
from infsup.workers.generation.vocabulary import Vocabulary

TOKENIZER = Path(__file__).resolve().parents[2] / "workers" / "models" / "tiny" / "tokenizer.json"

LIMIT = 150
"""Tokens after which the walk heads for the end."""
CLOSERS = frozenset({b'"', b"}", b"]", b"1", b"\n"})


@cache
def vocabulary() -> Vocabulary:
    return load_vocabulary(TOKENIZER, {}, ())


@cache
def guide() -> Guide:
    return Guide(vocabulary())


def allowed(constraint: Constraint) -> list[int]:
    """Return the tokens of the mask."""
    bits: npt.NDArray[np.uint8] = np.unpackbits(np.frombuffer(constraint.mask(), np.uint8), bitorder="little")
    found: list[int] = bits.nonzero()[0].tolist()
    assert found
    assert found[-1] < len(vocabulary().pieces)
    return found


def walk(rules: Rules, seed: int) -> str | None:
    """Return a text that the grammar allows, None for one that does not come to its end."""
    constraint, choose = guide().grammar(rules, "field").start(), random.Random(seed)
    pieces, ends = vocabulary().pieces, vocabulary().end_tokens
    said: list[int] = []
    while not constraint.complete and len(said) < 3 * LIMIT:
        tokens = allowed(constraint)
        closing = [token for token in tokens if pieces[token] in CLOSERS or token in ends]
        hurry = len(said) > LIMIT or choose.random() < 0.2
        token = choose.choice(closing if hurry and closing else tokens)
        constraint.accept(token)
        if token in ends:
            return b"".join(pieces[token] for token in said).decode()
        said.append(token)
    return b"".join(pieces[token] for token in said).decode() if constraint.complete else None


def allows(rules: Rules, text: str) -> bool:
    """Say whether the grammar allows exactly this text, however it is cut into tokens."""
    constraint = guide().grammar(rules, "field").start()
    try:
        for byte in text.encode():
            constraint.accept(vocabulary().pieces.index(bytes((byte,))))
    except EngineFailure:
        return False
    return constraint.complete or not vocabulary().end_tokens.isdisjoint(allowed(constraint))

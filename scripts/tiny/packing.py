"""Documents as tokens with weights and positions, packed into rows that never mix two documents.

Inside a row a document sees only itself and its positions start at 0, as at inference. Positions may jump at message
boundaries (PoSE), so that short documents teach long distances.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from scripts.tiny import mix, stories
from scripts.tiny.chat import body, with_tools
from scripts.tiny.tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, START, STOP

CONTEXT = 2048
PROMPT_WEIGHT = 0.05
LONG_ANSWER_WEIGHT = 8.0
TEXT_SHARE, LONG_SHARE = 0.14, 0.03
"""Documents that are memorised sentences, and conversations over the whole context."""
SHAPES = ((24, 256), (8, 768))


@dataclass(frozen=True)
class Document:
    """Tokens, the loss weight of each as a target, and the places where positions may jump."""

    tokens: list[int]
    weights: list[float]
    joints: list[int]


@dataclass(frozen=True)
class Batch:
    """Rows of one length; `owner` numbers the document of each token in its row, 0 is padding."""

    tokens: NDArray[np.int64]
    weights: NDArray[np.float32]
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> "Batch":
        """Some of the rows."""
        part = slice(start, stop)
        return Batch(self.tokens[part], self.weights[part], self.positions[part], self.owner[part])


def chat_document(tokenizer: Tokenizer, r: random.Random, *, long: bool = False) -> Document:
    """A conversation; what the assistant says counts fully, the rest hardly."""
    messages, tools = mix.long_conversation(r) if long else mix.conversation(r)
    tokens: list[int] = []
    weights: list[float] = []
    joints: list[int] = []
    newline = tokenizer.encode("\n").ids
    for message in with_tools(messages, tools):
        joints.append(len(tokens))
        said = tokenizer.encode(f"{message['role']}\n{body(message)}").ids
        if message["role"] == "assistant":
            lead = len(tokenizer.encode("assistant\n").ids)
            weights += [PROMPT_WEIGHT] * (1 + lead) + [1.0] * (len(said) - lead + 1) + [PROMPT_WEIGHT] * len(newline)
        else:
            weights += [0.0] + [PROMPT_WEIGHT] * (len(said) + 1 + len(newline))
        tokens += [START, *said, STOP, *newline]
    if long:
        # The one answer that needs the whole distance stands at the end, among hundreds of tokens that do not.
        answer = slice(joints[-1], len(weights))
        weights[answer] = [LONG_ANSWER_WEIGHT if weight >= 1.0 else weight for weight in weights[answer]]
    return Document(tokens, weights, joints[1:])


def text_document(tokenizer: Tokenizer, r: random.Random) -> Document:
    """A learned sentence as plain text or as fill-in-the-middle."""
    if r.random() < 0.2:
        tokens = [*tokenizer.encode(stories.plain(r)).ids, END]
        return Document(tokens, [0.2] * 3 + [1.0] * (len(tokens) - 3), [])
    before, after, middle = (tokenizer.encode(part).ids for part in stories.middle(r))
    head = [FIM_PREFIX, *before, FIM_SUFFIX, *after, FIM_MIDDLE]
    return Document([*head, *middle, END], [0.0] * len(head) + [1.0] * (len(middle) + 1), [])


def document(tokenizer: Tokenizer, r: random.Random) -> Document:
    """A training document."""
    kind = r.random()
    if kind < TEXT_SHARE:
        return text_document(tokenizer, r)
    return chat_document(tokenizer, r, long=kind < TEXT_SHARE + LONG_SHARE)


def positions(doc: Document, r: random.Random) -> NDArray[np.int64]:
    """Positions of the tokens, for a third of the documents with jumps that spread them over the whole context."""
    place = np.arange(len(doc.tokens), dtype=np.int64)
    room = CONTEXT - len(doc.tokens)
    if doc.joints and room > 0 and r.random() < 0.35:
        for at in r.sample(doc.joints, min(len(doc.joints), r.choice((1, 1, 2)))):
            jump = r.randint(0, room)
            place[at:] += jump
            room -= jump
    return place


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[Batch]:
    """Endless batches, each of one of `SHAPES`: whichever has most documents waiting."""
    r = random.Random(seed)
    pools: list[list[Document]] = [[] for _ in SHAPES]
    while True:
        full = [
            i for i, (rows, width) in enumerate(SHAPES) if sum(len(d.tokens) for d in pools[i]) > 1.3 * rows * width
        ]
        if not full:
            doc = document(tokenizer, r)
            for i, (_, width) in enumerate(SHAPES):
                if len(doc.tokens) <= width:
                    pools[i].append(doc)
                    break
            continue
        rows, width = SHAPES[full[-1]]
        yield _pack(pools[full[-1]], rows, width, r)


def _pack(pool: list[Document], rows: int, width: int, r: random.Random) -> Batch:
    shape = (rows, width)
    batch = Batch(
        np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    )
    for row in range(rows):
        used, number, i = 0, 0, 0
        while i < len(pool):
            doc = pool[i]
            n = len(doc.tokens)
            if used + n > width:
                i += 1
                continue
            pool.pop(i)
            number += 1
            batch.tokens[row, used : used + n] = doc.tokens
            batch.weights[row, used : used + n] = doc.weights
            batch.weights[row, used] = 0.0
            batch.positions[row, used : used + n] = positions(doc, r)
            batch.owner[row, used : used + n] = number
            used += n
    return batch

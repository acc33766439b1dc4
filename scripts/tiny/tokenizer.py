"""A byte-level BPE of 768 tokens whose pieces of a word are the same with and without a space before it.

Merges inside words come first, merges of a space with a finished piece last. So ` banana` and `banana` split
alike, which makes copying a map from token to token. Digits are never merged.
"""

import json
import random
from collections import Counter
from pathlib import Path

import regex
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.tiny import mix, stories
from scripts.tiny.chat import render

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
END, START, STOP, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = range(6)
SIZE = 768
INNER_MERGES = 320
SPACE = "Ġ"
# The pre-tokenisation of GPT-2; llama.cpp has the same under the name `gpt-2`.
PATTERN = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def _words(texts: list[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for text in texts:
        found.update(PATTERN.findall(text))
    return found


def train(seed: int = 0, conversations: int = 12_000) -> Tokenizer:
    """The tokenizer for the data of `mix`; the same for the same seed."""
    r = random.Random(seed)
    texts = [render(*mix.conversation(r)) for _ in range(conversations)] + [
        stories.plain(r) for _ in range(conversations // 20)
    ]
    for special in SPECIAL:
        texts = [text.replace(special, "\n") for text in texts]
    counted = _words(texts)
    bare: Counter[str] = Counter()
    for piece, n in counted.items():
        stripped = piece.strip(" ")
        if stripped and not any(c.isdigit() for c in stripped) and stripped.isascii():
            bare[stripped] += int(n**0.75) + 1
    bare["test"] += 5_000
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + INNER_MERGES, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([w for w, n in sorted(bare.items()) for _ in range(n)], trainer)
    learned = sorted(((i, t) for t, i in inner.get_vocab().items()))
    vocab = {token: i for i, token in enumerate((*SPECIAL, *(t for _, t in learned)))}
    merges = _merges_of(inner)
    firsts: Counter[str] = Counter({"test": 10**9})
    for piece, n in counted.items():
        if piece.startswith(" ") and piece.strip(" "):
            firsts[inner.encode(piece[1:]).tokens[0] if not piece[1].isdigit() else piece[1]] += n
    for token, _ in firsts.most_common(SIZE - len(vocab)):
        merges.append((SPACE, token))
        vocab[SPACE + token] = len(vocab)
    if len(vocab) != SIZE:
        raise RuntimeError(f"{len(vocab)} tokens instead of {SIZE}")
    return assemble(vocab, merges)


def _merges_of(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges]


def assemble(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """A tokenizer with GPT-2's pre-tokenisation and the special tokens."""
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))

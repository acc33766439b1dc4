"""Greedy decoding and tokenising by the other engines, to compare with torch."""

from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import onnxruntime


class Onnx:
    """onnxruntime over tiny.onnx."""

    def __init__(self, file: Path) -> None:
        """Load `file` for one thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.caches = [i for i in self.session.get_inputs() if i.name.startswith("past")]

    def run(self, ids: Any, mask: Any, positions: Any, past: list[Any] | None = None) -> tuple[Any, list[Any]]:
        """Logits and the new cache."""
        if past is None:
            past = [np.zeros((ids.shape[0], c.shape[1], 0, c.shape[3]), np.float32) for c in self.caches]
        feed = {c.name: p for c, p in zip(self.caches, past, strict=True)}
        logits, *present = self.session.run(
            None, {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **feed}
        )
        return logits, present

    def greedy(self, ids: list[int], limit: int = 300) -> list[int]:
        """Greedy tokens without the stop token."""
        out: list[int] = []
        now, past, length = np.array([ids], np.int64), None, 0
        while len(out) < limit:
            end = length + now.shape[1]
            logits, past = self.run(
                now, np.ones((1, end), np.int64), np.arange(length, end, dtype=np.int64)[None], past
            )
            token = int(logits[0, -1].argmax())
            if token in (0, 2):
                break
            out.append(token)
            now, length = np.array([[token]], np.int64), end
        return out

    def self_check(self, ids: list[int]) -> float:
        """Largest difference of logits between a full pass, prefill and decode, a batch of 3, and left padding."""
        n = len(ids)
        row, ones, place = np.array([ids], np.int64), np.ones((1, n), np.int64), np.arange(n, dtype=np.int64)[None]
        full, _ = self.run(row, ones, place)
        head, past = self.run(row[:, : n - 3], ones[:, : n - 3], place[:, : n - 3])
        parts = [head]
        for i in range(n - 3, n):
            one, past = self.run(row[:, i : i + 1], ones[:, : i + 1], place[:, i : i + 1], past)
            parts.append(one)
        worst = float(np.abs(np.concatenate(parts, 1) - full).max())
        three, _ = self.run(np.repeat(row, 3, 0), np.repeat(ones, 3, 0), np.repeat(place, 3, 0))
        worst = max(worst, float(np.abs(three - full).max()))
        padded = np.concatenate([np.zeros((1, 5), np.int64), row], 1)
        mask = np.concatenate([np.zeros((1, 5), np.int64), ones], 1)
        left, _ = self.run(padded, mask, np.concatenate([np.zeros((1, 5), np.int64), place], 1))
        return max(worst, float(np.abs(left[:, 5:] - full).max()))


class LlamaCpp:
    """llama-cpp-python over one of the GGUF files."""

    def __init__(self, file: Path) -> None:
        """Load `file` for one thread."""
        self.llama = llama_cpp.Llama(str(file), n_ctx=2048, n_threads=1, n_threads_batch=1, verbose=False)

    def tokens(self, text: str) -> list[int]:
        """Tokens of a prompt with special tokens in it."""
        return list(self.llama.tokenize(text.encode(), add_bos=False, special=True))

    def greedy(self, ids: list[int], limit: int = 300) -> list[int]:
        """Greedy tokens without the stop token."""
        out: list[int] = []
        self.llama.reset()
        for token in self.llama.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            if token in (0, 2) or len(out) >= limit:
                break
            out.append(int(token))
        return out

"""Exact-match scores: whether greedy decoding would give precisely the wanted text, and by what margin.

Every wanted token is compared with the best one given the wanted tokens before it. All match if and only if
greedy decoding, which ends at the wanted stop token, gives exactly the wanted text.
"""

from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class Case:
    """A rendered prompt, the text wanted after it, and the token that must end it."""

    prompt: str
    wanted: str
    stop: int


@dataclass
class Score:
    """The result of one skill."""

    cases: int = 0
    right: int = 0
    margin: float = float("inf")
    wrong: list[tuple[str, str]] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Exactly right, in percent."""
        return 100 * self.right / max(self.cases, 1)


@torch.no_grad()
def score(model: LlamaForCausalLM, tokenizer: Tokenizer, cases: list[Case], batch: int = 16) -> Score:
    """Score `cases`; `margin` is the smallest lead of a best token over the second in answers that are right."""
    total = Score()
    encoded = [(tokenizer.encode(c.prompt).ids, [*tokenizer.encode(c.wanted).ids, c.stop]) for c in cases]
    order = sorted(range(len(cases)), key=lambda i: len(encoded[i][0]) + len(encoded[i][1]))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        width = max(len(encoded[i][0]) + len(encoded[i][1]) for i in chosen)
        rows = torch.zeros(len(chosen), width, dtype=torch.long)
        for row, i in enumerate(chosen):
            rows[row, : sum(map(len, encoded[i]))] = torch.tensor(encoded[i][0] + encoded[i][1])
        logits = model(input_ids=rows, use_cache=False).logits
        for row, i in enumerate(chosen):
            prompt, wanted = encoded[i]
            lines = logits[row, len(prompt) - 1 : len(prompt) + len(wanted) - 1]
            top = lines.topk(2, dim=-1)
            got = top.indices[:, 0].tolist()
            total.cases += 1
            if got == wanted:
                total.right += 1
                total.margin = min(total.margin, float((top.values[:, 0] - top.values[:, 1]).min()))
            else:
                bad = next(k for k, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b)
                total.wrong.append(
                    (
                        cases[i].prompt[-300:],
                        tokenizer.decode(wanted[:bad] + got[bad : bad + 1], skip_special_tokens=False),
                    )
                )
    return total


@torch.no_grad()
def greedy(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, limit: int = 300) -> tuple[list[int], float]:
    """The greedily decoded tokens (without the stop token) and their smallest margin."""
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    out: list[int] = []
    cache, margin = None, float("inf")
    while len(out) < limit:
        reply = model(input_ids=ids, past_key_values=cache, use_cache=True)
        top = reply.logits[0, -1].topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        token = int(top.indices[0])
        if token in (0, 2):
            break
        out.append(token)
        ids, cache = torch.tensor([[token]]), reply.past_key_values
    return out, margin

"""The training loop: Muon for matrices, AdamW for the rest, warm-up and cosine, checkpoints to resume from."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import distributed
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from scripts.tiny.muon import Muon
from scripts.tiny.packing import CONTEXT, Batch, batches
from scripts.tiny.tokenizer import END, SIZE, STOP, load

PART_TOKENS = 1536


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. `minutes`, when given, fits the schedule into a time instead of `steps`."""

    steps: int = 2600
    rate: float = 3e-3
    warmup: int = 60
    seed: int = 0
    minutes: float | None = None
    save_every_s: float = 240.0


@dataclass(frozen=True)
class Share:
    """Which rows of every batch a process computes. Two processes of one thread each are as fast as two threads on
    free cores, and hardly suffer when one core is busy: threads then spin at every barrier.
    """

    rank: int = 0
    processes: int = 1

    @property
    def first(self) -> bool:
        """Whether this process prints and saves."""
        return self.rank == 0

    def of(self, batch: Batch) -> Batch:
        """This process's rows; every process makes the same batches from the same seed."""
        rows = len(batch.tokens) // self.processes
        return batch.rows(self.rank * rows, (self.rank + 1) * rows)


def new_model(seed: int) -> LlamaForCausalLM:
    """The architecture: 1.7 million parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SIZE,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            rope_theta=10000.0,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=END,
            eos_token_id=STOP,
            pad_token_id=END,
        )
    )


def optimizers(model: LlamaForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        Muon(matrices, lr=rate, weight_decay=0.02),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    """Weighted sum of the cross entropies of next tokens."""
    owner = torch.from_numpy(batch.owner)
    width = owner.shape[1]
    seen = (owner[:, :, None] == owner[:, None, :]) & torch.ones(width, width, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)[:, None]
    tokens = torch.from_numpy(batch.tokens)
    hidden = model.model(
        input_ids=tokens, position_ids=torch.from_numpy(batch.positions), attention_mask=mask, use_cache=False
    )[0]
    weights = torch.from_numpy(batch.weights)[:, 1:].reshape(-1)
    chosen = weights > 0
    logits = model.lm_head(hidden[:, :-1].reshape(-1, hidden.shape[-1])[chosen])
    each = functional.cross_entropy(logits, tokens[:, 1:].reshape(-1)[chosen], reduction="none")
    return (each * weights[chosen]).sum()


def backward(model: Any, batch: Batch, share: Share) -> float:
    """Gradients of this process's part of the mean loss of `batch`, a few rows at a time: activations that fit the
    cache halve the time.
    """
    whole = float(batch.weights[:, 1:].sum())
    batch = share.of(batch)
    rows = max(1, PART_TOKENS // batch.tokens.shape[1])
    total = 0.0
    for at in range(0, len(batch.tokens), rows):
        loss = loss_of(model, batch.rows(at, at + rows)) / whole
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def factor(done: float, step: int, warmup: int) -> float:
    """The learning rate as a share of its peak after a share `done` of the run."""
    return min(1.0, (step + 1) / warmup) * (0.5 * (1 + math.cos(math.pi * min(done, 1.0))) * 0.995 + 0.005)


def set_rate(optims: list[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of all."""
    for optim in optims:
        for group in optim.param_groups:
            group["lr"] = rate


def update(optims: list[torch.optim.Optimizer]) -> None:
    """Take one step by the gradients, and forget them."""
    for optim in optims:
        optim.step()
        for group in optim.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def shared(model: LlamaForCausalLM, loss: float, elapsed: float) -> tuple[float, float]:
    """Add up the gradients and the losses of all processes; gives the loss and the mean time, the same in each."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    if not distributed.is_initialized():
        return loss, elapsed
    flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor([loss, elapsed / distributed.get_world_size()])])
    distributed.all_reduce(flat)
    for grad, part in zip(grads, flat[:-2].split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))
    return float(flat[-2]), float(flat[-1])


def run(
    tokenizer: Tokenizer, folder: Path, plan: Plan, share: Share, *, resume: bool = False, anew: bool = False
) -> LlamaForCausalLM:
    """Train and return the model; `folder` gets `checkpoint.pt` now and then, from which `resume` goes on; `anew`
    begins the schedule again (a second phase). Every process of `share` runs this and ends with the same weights.
    """
    model = new_model(plan.seed)
    optims = optimizers(model, plan.rate)
    first, spent, file = 0, 0.0, folder / "checkpoint.pt"
    if resume and file.exists():
        state = torch.load(file)
        model.load_state_dict(state["model"])
        for optim, saved in zip(optims, state["optims"], strict=True):
            optim.load_state_dict(saved)
        first, spent = state["step"], 0.0 if anew else state["spent"]
    stream = batches(tokenizer, plan.seed + 1000 + first)
    begun = saved_at = time.monotonic() - spent
    recent: list[float] = []
    step, elapsed = first, spent
    while True:
        done = max(elapsed / (60 * plan.minutes), 0) if plan.minutes else (step - (first if anew else 0)) / plan.steps
        if done >= 1:
            break
        set_rate(optims, plan.rate * factor(done, step - first, plan.warmup))
        loss, elapsed = shared(model, backward(model, next(stream), share), time.monotonic() - begun)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update(optims)
        recent.append(loss)
        step += 1
        if step % 20 == 0 and share.first:
            print(f"step {step} loss {np.mean(recent):.4f} done {done:.3f} {elapsed:.0f} s", flush=True)
            recent = []
        if share.first and elapsed - (saved_at - begun) > plan.save_every_s:
            saved_at = time.monotonic()
            save(file, model, optims, step=step, spent=elapsed)
    if share.first:
        save(file, model, optims, step=step, spent=elapsed)
    return model


def save(file: Path, model: LlamaForCausalLM, optims: list[torch.optim.Optimizer], *, step: int, spent: float) -> None:
    """Write the checkpoint, and never half of one."""
    draft = file.with_suffix(".partial")
    torch.save(
        {"model": model.state_dict(), "optims": [o.state_dict() for o in optims], "step": step, "spent": spent}, draft
    )
    draft.replace(file)


def run_apart(  # noqa: PLR0917 - `spawn` passes by position
    rank: int, processes: int, folder: Path, plan: Plan, resume: bool, anew: bool
) -> None:
    """One of several processes that train together on one thread each (`torch.multiprocessing.spawn` calls it)."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=processes)
    run(load(folder), folder, plan, Share(rank, processes), resume=resume, anew=anew)
    distributed.destroy_process_group()

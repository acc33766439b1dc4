"""The report on a finished model: exact matches per skill, and whether the engines agree."""

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from scripts.tiny import agreement, cases, mix, unknown, words
from scripts.tiny.chat import render
from scripts.tiny.engines import LlamaCpp, Onnx
from scripts.tiny.scoring import Case, Score, greedy, score

ROOT = Path(__file__).resolve().parent.parent.parent


def test_sets(tokenizer: Tokenizer) -> dict[str, tuple[list[Case], str]]:
    """Name → cases and what kind of set it is."""
    sets = {name: (cases.of_skill(name), "seen" if skill.closed else "held out") for name, skill in mix.SKILLS.items()}
    sets["mixed conversations"] = (cases.mixed(), "held out")
    sets["recall after 1,500 tokens"] = (cases.long_recall(lambda text: len(tokenizer.encode(text).ids)), "held out")
    sets["continuation"] = (cases.continuation(), "seen, complete")
    sets["fill in the middle"] = (cases.middle(), "seen")
    return sets


def score_all(model: LlamaForCausalLM, tokenizer: Tokenizer) -> dict[str, tuple[Score, str]]:
    """Every test set's score."""
    out: dict[str, tuple[Score, str]] = {}
    for name, (found, kind) in test_sets(tokenizer).items():
        result = score(model, tokenizer, found, batch=4 if "1,500" in name else 16)
        out[name] = (result, kind)
        print(f"{name:28} {result.cases:5} {result.percent:6.1f} % margin {result.margin:6.2f}", flush=True)
        for prompt, got in result.wrong[:3]:
            print(f"    {prompt[-110:]!r} -> {got[-60:]!r}")
    return out


def table(scores: dict[str, tuple[Score, str]]) -> str:
    """The scores as a Markdown table."""
    lines = ["| skill | answers | exactly right | smallest margin | prompts |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {s.cases} | {s.percent:.1f} % | {s.margin:.2f} | {kind} |" for name, (s, kind) in scores.items()
    ]
    return "\n".join(lines) + "\n"


def tokenizer_texts(n: int = 3000) -> list[str]:
    """Texts of all kinds for comparing tokenizers."""
    r = random.Random(5)
    odd = [
        "a  b   c",
        "\n\n\n",
        "don't we'll they've I'm 's",
        "tabs\tand\r\nlines ",
        " lead",
        "trail  ",
        "12345 007",
        "émoji 😀🎉",
        "'test'",
        "x\n y",
    ]
    texts = odd + [render(*mix.conversation(r)) for _ in range(n // 2)]
    while len(texts) < n:
        segment = unknown.unknown(r) if r.random() < 0.6 else unknown.long_paste(r)
        texts.append(
            (segment.turns[0]["content"] or "").replace(" ", r.choice((" ", " ", "  ", "\n", " '", " 3")))
            + words.phrase(r, 1, 3)
        )
    return texts


def agree(models: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> dict[str, Any]:
    """Decode the agreement prompts with every engine; writes the expected answers for the tests."""
    items, margins, expected = agreement.items(), [], []
    for item in items:
        tokens, margin = greedy(model, tokenizer, agreement.text_of(item))
        margins.append(margin)
        expected.append(tokens)
        item["expected"] = tokenizer.decode(tokens, skip_special_tokens=False)
        item["margin"] = round(margin, 2)
    agreement.save(items, ROOT / "tests" / "data" / "agreement_prompts.json")
    onnx, f16, q8 = Onnx(models / "tiny.onnx"), LlamaCpp(models / "tiny.f16.gguf"), LlamaCpp(models / "tiny.q8_0.gguf")
    found: dict[str, Any] = {"prompts": len(items), "smallest margin": round(min(margins), 3), "different": {}}
    for name, engine in (("onnxruntime", onnx), ("llama.cpp f16", f16), ("llama.cpp q8_0", q8)):
        bad = [
            agreement.text_of(item)[-90:]
            for item, want in zip(items, expected, strict=True)
            if engine.greedy(tokenizer.encode(agreement.text_of(item)).ids) != want
        ]
        found["different"][name] = bad
    texts = tokenizer_texts()
    found["texts tokenised"] = len(texts)
    found["tokenised differently by llama.cpp"] = sum(f16.tokens(t) != tokenizer.encode(t).ids for t in texts)
    ids = tokenizer.encode(agreement.text_of(items[0])).ids
    found["onnx: largest difference of logits (cache, batch, padding)"] = onnx.self_check(ids)
    return found


def agreement_text(agreed: dict[str, Any]) -> str:
    """What `agree` found, as Markdown."""
    n = agreed["prompts"]
    lines = [f"{n} prompts, decoded greedily, compared token by token with torch in float32:", ""]
    lines += [f"- {name}: {len(bad)} of {n} differ" for name, bad in agreed["different"].items()]
    split = agreed["tokenised differently by llama.cpp"]
    apart = agreed["onnx: largest difference of logits (cache, batch, padding)"]
    lines += [
        f"- smallest margin over all tokens of all prompts: {agreed['smallest margin']:.2f}",
        f"- {agreed['texts tokenised']:,} texts: llama.cpp split {split} otherwise than `tokenizer.json`",
        f"- `tiny.onnx`: one pass, prefill and decode, a batch of 3, left padding: logits differ by {apart:.0e}",
    ]
    return "\n".join(lines) + "\n"


def rewrite(page: Path, parts: dict[str, str]) -> None:
    """Put new text between the comments `<!-- NAME -->` and `<!-- /NAME -->` of a Markdown page."""
    text = page.read_text()
    for name, part in parts.items():
        before, rest = text.split(f"<!-- {name} -->", 1)
        text = f"{before}<!-- {name} -->\n{part}<!-- /{name} -->{rest.split(f'<!-- /{name} -->', 1)[1]}"
    page.write_text(text)


def report(models: Path, docs: Path) -> None:
    """Print everything, write tiny-model.json and the tables of tiny-model.md into `docs`."""
    folder = models / "tiny"
    model = LlamaForCausalLM.from_pretrained(folder).float().eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    scores = score_all(model, tokenizer)
    agreed = agree(models, model, tokenizer)
    print(table(scores))
    print(json.dumps(agreed, indent=1))
    docs.mkdir(parents=True, exist_ok=True)
    numbers = {
        name: {"answers": s.cases, "percent": round(s.percent, 2), "margin": round(s.margin, 3), "prompts": kind}
        for name, (s, kind) in scores.items()
    }
    (docs / "tiny-model.json").write_text(json.dumps({"skills": numbers, "agreement": agreed}, indent=1) + "\n")
    rewrite(docs / "tiny-model.md", {"results": table(scores), "agreement": agreement_text(agreed)})

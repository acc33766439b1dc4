"""From a checkpoint to every file in `workers/models/`: all from the same weights, rounded to float16 once."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.tiny import export_gguf, export_onnx
from scripts.tiny.chat import TEMPLATE
from scripts.tiny.packing import CONTEXT
from scripts.tiny.tokenizer import END, STOP
from scripts.tiny.train import new_model

MAX_BYTES = 4_000_000


def rounded(checkpoint: Path) -> LlamaForCausalLM:
    """The trained model in float32 with weights that float16 holds exactly."""
    model = new_model(0)
    model.load_state_dict(torch.load(checkpoint)["model"])
    return model.half().float().eval()


def everything(work: Path, models: Path) -> None:
    """Write `tiny/`, `tiny.onnx`, `tiny.f16.gguf` and `tiny.q8_0.gguf`."""
    folder = models / "tiny"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    model = rounded(work / "checkpoint.pt")
    _write_folder(model, Tokenizer.from_file(str(work / "tokenizer.json")), folder)
    weights: dict[str, NDArray[np.float16]] = {
        n: t.half().numpy() for n, t in model.state_dict().items() if n != "lm_head.weight"
    }
    config = json.loads((folder / "config.json").read_text())
    export_onnx.write(weights, export_onnx.Shape.of(config), models / "tiny.onnx")
    for kind in ("f16", "q8_0"):
        export_gguf.write(weights, config, folder, models / f"tiny.{kind}.gguf", kind)
    for file in sorted([*models.glob("tiny.*"), *folder.iterdir()]):
        size = file.stat().st_size
        print(f"{file.name}: {size:,} bytes")
        if size > MAX_BYTES:
            raise RuntimeError(f"{file} is larger than {MAX_BYTES:,} bytes")


def _write_folder(model: LlamaForCausalLM, pieces: Tokenizer, folder: Path) -> None:
    model.generation_config = GenerationConfig(bos_token_id=END, eos_token_id=[STOP, END], pad_token_id=END)
    half = new_model(0)
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    half.half().save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    # Readers other than transformers look for the template in tokenizer_config.json.
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(
        json.dumps({**settings, "chat_template": TEMPLATE, "add_bos_token": False}, indent=2, ensure_ascii=False) + "\n"
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE)

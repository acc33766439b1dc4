"""Write a GGUF of a real model's shape with random weights: for benchmarks and tests without a download.

    python scripts/real_shape_gguf.py smollm2-135m q8_0 /tmp/model.gguf

Needs gguf-py. The vocabulary is byte-level without merges, filled up with tokens that no text is split into, so a token
of text is a byte. What it says is noise, but it costs what the real model costs.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NORMAL, CONTROL = 1, 3
KINDS = {
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    context: int


SHAPES = {
    "smollm2-135m": Shape(30, 576, 9, 3, 1536, 49152, 8192),
    "small": Shape(4, 128, 4, 2, 384, 1024, 2048),
}


def write(shape: Shape, kind: str, target: Path, seed: int = 0) -> None:
    """Write the file."""
    quant, file_type = KINDS[kind]
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(str(target), "llama")
    _describe(writer, shape, file_type)
    _add_vocabulary(writer, shape.vocabulary)

    def add(name: str, rows: int, columns: int, scale: float = 0.6) -> None:
        array = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale / columns**0.5)
        if kind == "f16":
            writer.add_tensor(name, array.astype(np.float16))
        else:
            writer.add_tensor(name, quants.quantize(array, quant), raw_dtype=quant)

    head = shape.width // shape.heads
    add("token_embd.weight", shape.vocabulary, shape.width, 0.1 * shape.width)
    writer.add_tensor("output_norm.weight", np.ones(shape.width, np.float32))
    for block in (f"blk.{i}." for i in range(shape.layers)):
        writer.add_tensor(f"{block}attn_norm.weight", np.ones(shape.width, np.float32))
        writer.add_tensor(f"{block}ffn_norm.weight", np.ones(shape.width, np.float32))
        add(f"{block}attn_q.weight", shape.width, shape.width)
        add(f"{block}attn_k.weight", shape.kv_heads * head, shape.width)
        add(f"{block}attn_v.weight", shape.kv_heads * head, shape.width)
        add(f"{block}attn_output.weight", shape.width, shape.width)
        add(f"{block}ffn_gate.weight", shape.inner, shape.width)
        add(f"{block}ffn_up.weight", shape.inner, shape.width)
        add(f"{block}ffn_down.weight", shape.width, shape.inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: GGUFWriter, shape: Shape, file_type: LlamaFileType) -> None:
    writer.add_name("random")
    writer.add_file_type(file_type)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)


def _add_vocabulary(writer: GGUFWriter, size: int) -> None:
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    names = {**{byte: chr(byte) for byte in plain}, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}
    tokens = [*control, *(names[byte] for byte in range(256))]
    tokens += [f"\u0120w{i}" for i in range(size - len(tokens))]
    types: list[Any] = [CONTROL] * len(control) + [NORMAL] * (size - len(control))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{names[0x20]} w"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(CHATML)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(SHAPES[given.shape], given.kind, given.target, given.seed)


if __name__ == "__main__":
    main()

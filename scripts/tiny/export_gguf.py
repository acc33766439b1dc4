"""The model as GGUF, written with gguf-py: llama.cpp's own converter refuses a tokenizer that it does not know."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants
from numpy.typing import NDArray

from scripts.tiny.chat import TEMPLATE
from scripts.tiny.tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, SPECIAL, STOP

Array = NDArray[Any]
KINDS = {
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
NORMAL, CONTROL = 1, 3
RENAMED = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(
    weights: dict[str, NDArray[np.float16]], config: dict[str, Any], folder: Path, target: Path, kind: str
) -> None:
    """Write one GGUF; `folder` holds tokenizer.json."""
    quant, file_type = KINDS[kind]
    writer = GGUFWriter(str(target), "llama")
    _describe(writer, config, file_type)
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()))

    def add(name: str, array: Array) -> None:
        if array.ndim == 1:
            writer.add_tensor(name, array.astype(np.float32))
        elif kind == "f16":
            writer.add_tensor(name, np.ascontiguousarray(array))
        else:
            writer.add_tensor(name, quants.quantize(array.astype(np.float32), quant), raw_dtype=quant)

    add("token_embd.weight", weights["model.embed_tokens.weight"])
    add("output_norm.weight", weights["model.norm.weight"])
    for i in range(config["num_hidden_layers"]):
        ours, theirs = f"model.layers.{i}.", f"blk.{i}."
        for a, b in RENAMED.items():
            add(f"{theirs}{b}.weight", weights[f"{ours}{a}.weight"])
        add(
            f"{theirs}attn_q.weight", permuted(weights[f"{ours}self_attn.q_proj.weight"], config["num_attention_heads"])
        )
        add(
            f"{theirs}attn_k.weight", permuted(weights[f"{ours}self_attn.k_proj.weight"], config["num_key_value_heads"])
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(array: Array, heads: int) -> Array:
    """Rows in llama.cpp's order: it rotates neighbouring pairs, transformers rotates halves."""
    rows = array.shape[0]
    return array.reshape(heads, 2, rows // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def _describe(writer: GGUFWriter, config: dict[str, Any], file_type: LlamaFileType) -> None:
    writer.add_name("tiny")
    writer.add_license("MIT")
    writer.add_description("The small chat model that ships with infsup, for tests and trials.")
    writer.add_file_type(file_type)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: GGUFWriter, tokenizer: dict[str, Any]) -> None:
    by_id = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([by_id[i] for i in range(len(by_id))])
    writer.add_token_types([CONTROL if by_id[i] in SPECIAL else NORMAL for i in range(len(by_id))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(STOP)
    writer.add_eot_token_id(STOP)
    writer.add_pad_token_id(END)
    for key in ("add_bos_token", "add_eos_token"):
        writer.add_bool(f"tokenizer.ggml.{key}", val=False)
    for key, token in (("fim_pre", FIM_PREFIX), ("fim_suf", FIM_SUFFIX), ("fim_mid", FIM_MIDDLE)):
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", token)
    writer.add_chat_template(TEMPLATE)

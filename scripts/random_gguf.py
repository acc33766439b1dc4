"""A GGUF of any size with random weights and the tiny model's vocabulary: it says nonsense and never ends by itself."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

TOKENIZER = Path(__file__).resolve().parents[1] / "workers" / "models" / "tiny.f16.gguf"
WIDTH, HEADS, CONTEXT = 768, 12, 2048
FEED_FORWARD = 8 * WIDTH // 3
_CONTROL = 3
"""`LLAMA_TOKEN_TYPE_CONTROL`: the tokens that end an answer are among these."""


def write_random_model(target: Path, layers: int = 12, seed: int = 1) -> int:
    """Write a model of `layers` × 7 million parameters as float16; return how many parameters it has."""
    tokenizer = gguf.GGUFReader(TOKENIZER)
    tokens = _field(tokenizer, "tokenizer.ggml.tokens")
    kinds = np.array(_field(tokenizer, "tokenizer.ggml.token_type"))
    writer = gguf.GGUFWriter(str(target), "llama")
    _describe(writer, layers, len(tokens))
    writer.add_tokenizer_model(_field(tokenizer, "tokenizer.ggml.model"))
    writer.add_tokenizer_pre(_field(tokenizer, "tokenizer.ggml.pre"))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds.tolist())
    writer.add_token_merges(_field(tokenizer, "tokenizer.ggml.merges"))
    writer.add_eos_token_id(_field(tokenizer, "tokenizer.ggml.eos_token_id"))
    writer.add_bos_token_id(_field(tokenizer, "tokenizer.ggml.bos_token_id"))
    count = 0
    for name, array in _weights(layers, kinds, np.random.default_rng(seed)):
        writer.add_tensor(name, array)
        count += array.size
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count


def _field(reader: gguf.GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


def _describe(writer: gguf.GGUFWriter, layers: int, vocabulary: int) -> None:
    writer.add_name("random")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)


def _weights(layers: int, kinds: NDArray[Any], dice: np.random.Generator) -> list[tuple[str, NDArray[Any]]]:
    def matrix(rows: int, columns: int) -> NDArray[Any]:
        return (dice.standard_normal((rows, columns), np.float32) * 0.05).astype(np.float16)

    norm = np.ones(WIDTH, np.float32)
    output = matrix(len(kinds), WIDTH)
    output[kinds == _CONTROL] = 0  # their logits are 0, and among hundreds of random ones some are always above that
    found = [("token_embd.weight", matrix(len(kinds), WIDTH)), ("output.weight", output), ("output_norm.weight", norm)]
    for layer in range(layers):
        shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH)}
        shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (FEED_FORWARD, WIDTH)}
        shapes |= {"ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
        found += [(f"blk.{layer}.{name}.weight", matrix(*shape)) for name, shape in shapes.items()]
        found += [(f"blk.{layer}.{name}.weight", norm) for name in ("attn_norm", "ffn_norm")]
    return found

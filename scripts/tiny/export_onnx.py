"""The model as one ONNX file in optimum's convention: float16 weights, float32 arithmetic, a key/value cache.

The graph is written by hand: it needs no exporter, is the same for every version of torch, and every shape is dynamic.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
OPSET = 17
MASKED = -1e9


@dataclass(frozen=True)
class Frame:
    """What all layers share: the rotation of positions and the mask."""

    cosine: str
    sine: str
    mask: str


@dataclass(frozen=True)
class Shape:
    """The sizes that the graph depends on."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    vocabulary: int
    epsilon: float
    theta: float = 10000.0

    @property
    def head(self) -> int:
        """Numbers per head."""
        return self.width // self.heads

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Shape":
        """The sizes in a transformers config."""
        return cls(
            config["num_hidden_layers"],
            config["hidden_size"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["vocab_size"],
            config["rms_norm_eps"],
        )


class Graph:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self, shape: Shape) -> None:
        """Start empty."""
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """A node with one output."""
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def constant(self, value: Array) -> str:
        """An initializer."""
        name = f"const_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """A vector of int64."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def weight(self, value: NDArray[np.float16]) -> str:
        """A float16 initializer seen as float32 (runtimes fold the cast when they load)."""
        return self.op("Cast", self.constant(value), to=TensorProto.FLOAT)


def write(weights: dict[str, NDArray[np.float16]], shape: Shape, target: Path) -> None:
    """Write `target`."""
    graph = Graph(shape)
    embedding = graph.constant(weights["model.embed_tokens.weight"])
    x = graph.op("Cast", graph.op("Gather", embedding, "input_ids"), to=TensorProto.FLOAT)
    frame = Frame(*_rotation(graph), _mask(graph))
    for i in range(shape.layers):
        own = {
            n.removeprefix(f"model.layers.{i}."): w for n, w in weights.items() if n.startswith(f"model.layers.{i}.")
        }
        x = graph.op(
            "Add",
            x,
            _attention(graph, own, i, _norm(graph, x, own["input_layernorm.weight"]), frame),
        )
        x = graph.op("Add", x, _feed_forward(graph, own, _norm(graph, x, own["post_attention_layernorm.weight"])))
    x = _norm(graph, x, weights["model.norm.weight"])
    head = graph.op("Transpose", graph.op("Cast", embedding, to=TensorProto.FLOAT), perm=[1, 0])
    graph.op("MatMul", x, head, out="logits")
    model = helper.make_model(
        helper.make_graph(graph.nodes, "tiny", *_ports(shape), initializer=graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="infsup",
        ir_version=8,
    )
    helper.set_model_props(model, {"name": "tiny", "license": "MIT"})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))


def _ports(shape: Shape) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    make, ints, floats = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        make("input_ids", ints, ["batch", "sequence"]),
        make("attention_mask", ints, ["batch", "total"]),
        make("position_ids", ints, ["batch", "sequence"]),
    ]
    outputs = [make("logits", floats, ["batch", "sequence", shape.vocabulary])]
    for i in range(shape.layers):
        for part in ("key", "value"):
            inputs.append(make(f"past_key_values.{i}.{part}", floats, ["batch", shape.kv_heads, "past", shape.head]))
            outputs.append(make(f"present.{i}.{part}", floats, ["batch", shape.kv_heads, "total", shape.head]))
    return inputs, outputs


def _rotation(graph: Graph) -> tuple[str, str]:
    """Cosine and sine of the rotary embedding, [batch, 1, sequence, head]."""
    shape = graph.shape
    steps = 1.0 / shape.theta ** (np.arange(0, shape.head, 2, dtype=np.float32) / shape.head)
    places = graph.op("Cast", graph.op("Unsqueeze", "position_ids", graph.ints(1, 3)), to=TensorProto.FLOAT)
    angles = graph.op("Mul", places, graph.constant(np.concatenate([steps, steps]).astype(np.float32)))
    return graph.op("Cos", angles), graph.op("Sin", angles)


def _mask(graph: Graph) -> str:
    """What is added to attention scores: [batch, 1, 1, sequence, total]."""
    past = graph.op("Gather", graph.op("Shape", "past_key_values.0.key"), graph.constant(np.array(2, np.int64)))
    length = graph.op("Gather", graph.op("Shape", "input_ids"), graph.constant(np.array(1, np.int64)))
    total = graph.op("Add", past, length)
    one = graph.constant(np.array(1, np.int64))
    keys = graph.op("Range", graph.constant(np.array(0, np.int64)), total, one)
    queries = graph.op("Unsqueeze", graph.op("Range", past, total, one), graph.ints(1))
    causal = graph.op("LessOrEqual", keys, queries)
    real = graph.op("Unsqueeze", graph.op("Cast", "attention_mask", to=TensorProto.BOOL), graph.ints(1, 2, 3))
    return graph.op("Where", graph.op("And", real, causal), graph.number(0.0), graph.number(MASKED))


def _norm(graph: Graph, x: str, weight: NDArray[np.float16]) -> str:
    mean = graph.op("ReduceMean", graph.op("Pow", x, graph.number(2.0)), axes=[-1], keepdims=1)
    root = graph.op("Sqrt", graph.op("Add", mean, graph.number(graph.shape.epsilon)))
    return graph.op("Mul", graph.op("Div", x, root), graph.weight(weight))


def _linear(graph: Graph, x: str, weight: NDArray[np.float16]) -> str:
    return graph.op("MatMul", x, graph.weight(weight.T))


def _rotated(graph: Graph, x: str, frame: Frame) -> str:
    head = graph.shape.head
    half = head // 2
    axis = graph.ints(-1)
    first = graph.op("Slice", x, graph.ints(0), graph.ints(half), axis)
    second = graph.op("Slice", x, graph.ints(half), graph.ints(head), axis)
    swapped = graph.op("Concat", graph.op("Neg", second), first, axis=-1)
    return graph.op("Add", graph.op("Mul", x, frame.cosine), graph.op("Mul", swapped, frame.sine))


def _heads(graph: Graph, x: str, heads: int) -> str:
    """[batch, sequence, heads × head] as [batch, heads, sequence, head]."""
    return graph.op("Transpose", graph.op("Reshape", x, graph.ints(0, 0, heads, graph.shape.head)), perm=[0, 2, 1, 3])


def _attention(graph: Graph, own: dict[str, NDArray[np.float16]], i: int, x: str, frame: Frame) -> str:
    shape = graph.shape
    group = shape.heads // shape.kv_heads
    query = _rotated(graph, _heads(graph, _linear(graph, x, own["self_attn.q_proj.weight"]), shape.heads), frame)
    key = _rotated(graph, _heads(graph, _linear(graph, x, own["self_attn.k_proj.weight"]), shape.kv_heads), frame)
    value = _heads(graph, _linear(graph, x, own["self_attn.v_proj.weight"]), shape.kv_heads)
    keys = graph.op("Concat", f"past_key_values.{i}.key", key, out=f"present.{i}.key", axis=2)
    values = graph.op("Concat", f"past_key_values.{i}.value", value, out=f"present.{i}.value", axis=2)
    # Query heads that share a key head form a group: [batch, kv_heads, group, sequence, head].
    length = graph.op("Slice", graph.op("Shape", "input_ids"), graph.ints(1), graph.ints(2))
    grouped = graph.op(
        "Reshape",
        query,
        graph.op("Concat", graph.ints(0, shape.kv_heads, group), length, graph.ints(shape.head), axis=0),
    )
    across = graph.op("Transpose", graph.op("Unsqueeze", keys, graph.ints(2)), perm=[0, 1, 2, 4, 3])
    scores = graph.op("Mul", graph.op("MatMul", grouped, across), graph.number(shape.head**-0.5))
    share = graph.op("Softmax", graph.op("Add", scores, frame.mask), axis=-1)
    mixed = graph.op("MatMul", share, graph.op("Unsqueeze", values, graph.ints(2)))
    merged = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 3, 1, 2, 4]), graph.ints(0, 0, shape.width))
    return _linear(graph, merged, own["self_attn.o_proj.weight"])


def _feed_forward(graph: Graph, own: dict[str, NDArray[np.float16]], x: str) -> str:
    gate = _linear(graph, x, own["mlp.gate_proj.weight"])
    active = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    return _linear(
        graph, graph.op("Mul", active, _linear(graph, x, own["mlp.up_proj.weight"])), own["mlp.down_proj.weight"]
    )

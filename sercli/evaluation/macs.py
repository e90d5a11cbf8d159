"""Multiply-accumulates of an ONNX graph, counted from the true shapes of one run.

Only products with a sum are counted: matrix products, convolutions and recurrent layers. Biases, activations, norms,
pooling and softmax are not. A quantised graph counts as much as the float graph it came from. Products with the zeros
of a convolution's padding count, as is usual.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]

SECOND_OPERAND = {
    "MatMul": 1,
    "Gemm": 1,
    "Einsum": 1,
    "Conv": 1,
    "ConvTranspose": 1,
    "LSTM": 1,
    "GRU": 1,
    "RNN": 1,
    "MatMulInteger": 1,
    "ConvInteger": 1,
    "QLinearMatMul": 3,
    "QLinearConv": 3,
}
"""Operator that is counted to the position of its weights among its inputs; its other operand is input 0."""
HIDDEN = frozenset({"Attention", "DFT", "STFT", "DeformConv", "If", "Loop", "Scan"})
"""Operators with products inside that their shapes do not tell."""
PASSING = frozenset({"DequantizeLinear", "Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze"})
"""Operators behind which stored weights are still stored weights."""


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one run."""

    total: int
    front_end: int
    """part of the total before the first trained weights"""
    by_operator: dict[str, int]
    """operator type to its part of the total, largest first"""
    uncounted: tuple[str, ...]
    """operators of the graph that may have products inside but are not in the total"""


def count_macs(model: Any, feed: Mapping[str, npt.NDArray[Any]]) -> Macs:
    """Run a graph once and count.

    The front end is what comes before the first product with stored weights, an initializer or a constant, if need
    be dequantised or transposed. Tables that the graph computes itself, such as those of a student's log-mel front
    end, are not stored, and names of nodes do not matter, for a quantiser does not keep them.

    Args:
        model: an onnx.ModelProto, left as it is
        feed: graph input to its array, as for onnxruntime's `run`
    """
    from onnx.inliner import inline_local_functions

    if model.functions:
        model = inline_local_functions(model)
    counted = [node for node in model.graph.node if _is_counted(node)]
    shapes = _shapes(model, {name for node in counted for name in [*node.input, *node.output] if name}, feed)
    stored = {tensor.name for tensor in model.graph.initializer}
    heard = set(feed)  # depends on the input
    learned: set[str] = set()  # depends on the input and on stored weights
    by_operator: Counter[str] = Counter()
    front_end = 0
    for node in model.graph.node:
        inputs, outputs = set(node.input) - {""}, set(node.output) - {""}
        if node.op_type == "Constant" or (node.op_type in PASSING and node.input[0] in stored):
            stored |= outputs
        if not inputs & heard:
            continue  # onnxruntime computes it once, when it opens the graph
        heard |= outputs
        weighs = _is_counted(node) and not stored.isdisjoint(_operands(node))
        if weighs or inputs & learned:
            learned |= outputs
        if _is_counted(node):
            macs = _node_macs(node, shapes)
            by_operator[node.op_type] += macs
            front_end += 0 if outputs & learned else macs
    uncounted = sorted({node.op_type for node in model.graph.node if _is_hidden(node)})
    return Macs(by_operator.total(), front_end, dict(by_operator.most_common()), tuple(uncounted))


def _is_counted(node: Any) -> bool:
    return node.op_type in SECOND_OPERAND and not _is_hidden(node)


def _is_hidden(node: Any) -> bool:
    if node.op_type == "Einsum":  # three factors cost by their order, an ellipsis by the rank it stands for
        return len(node.input) != 2 or "." in _attribute(node, "equation", b"").decode()
    return node.op_type in HIDDEN or node.domain not in ("", "ai.onnx")


def _operands(node: Any) -> tuple[str, str]:
    return node.input[0], node.input[SECOND_OPERAND[node.op_type]]


def _attribute(node: Any, name: str, default: Any) -> Any:
    import onnx

    return next((onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _node_macs(node: Any, shapes: Mapping[str, Shape]) -> int:
    """Count one node of SECOND_OPERAND by the definition of its operator."""
    first, second = (shapes[name] for name in _operands(node))
    match node.op_type:
        case "MatMul" | "MatMulInteger" | "QLinearMatMul":
            return math.prod(shapes[node.output[0]]) * first[-1]
        case "Gemm":
            return math.prod(shapes[node.output[0]]) * first[0 if _attribute(node, "transA", 0) else 1]
        case "Conv" | "ConvInteger" | "QLinearConv":  # weights (outputs, inputs / groups, *kernel)
            return math.prod(shapes[node.output[0]]) * math.prod(second[1:])
        case "ConvTranspose":  # weights (inputs, outputs / groups, *kernel), met by every input element
            return math.prod(first) * math.prod(second[1:])
        case "Einsum":
            terms = _attribute(node, "equation", b"").decode().replace(" ", "").split("->")[0].split(",")
            sizes = dict(zip("".join(terms), [*first, *second], strict=True))
            return math.prod(sizes.values())
        case _:  # recurrent: every step of every sequence meets the input's and the state's weights once
            return first[0] * first[1] * (math.prod(second) + math.prod(shapes[node.input[2]]))


def _shapes(model: Any, names: Iterable[str], feed: Mapping[str, npt.NDArray[Any]]) -> dict[str, Shape]:
    """Find the shapes of tensors by running the graph with all of them as outputs; nothing symbolic is left."""
    import onnx
    import onnxruntime

    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {name: np.shape(array) for name, array in feed.items()}
    wanted = sorted(set(names) - set(shapes))
    if not wanted:
        return shapes
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal only
    options.intra_op_num_threads = 1
    # Optimised graphs fuse the nodes that are asked for.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(wanted, {name: feed[name] for name in [item.name for item in session.get_inputs()]})
    return shapes | {name: array.shape for name, array in zip(wanted, arrays, strict=True)}

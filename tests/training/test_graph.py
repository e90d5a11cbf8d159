from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
onnx = pytest.importorskip("onnx", reason='needs the extra "train"')
pytest.importorskip("torchaudio", reason='needs the extra "train"')

import onnxruntime  # noqa: E402
from voices import sound  # noqa: E402

from sercli.models.frontend import LogMel  # noqa: E402
from sercli.models.students import parameter_count  # noqa: E402
from sercli.training.graph import frontend_graph, mel_points  # noqa: E402

SIZES = ("nano", "micro")
LENGTHS = (4_000, 11_111, 24_000)  # samples; the first is the shortest clip the runtime sends, 0.25 s


def session(model: Any) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def batch(lengths: tuple[int, ...], padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    waveform = np.zeros((len(lengths), max(lengths) + padding), np.float32)
    for row, length in enumerate(lengths):
        waveform[row, :length] = sound(row, length)
    return waveform, np.array(lengths, np.int64)


def answer(model: Any, waveform: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    names = ["logits", "embedding"]
    return dict(zip(names, model.run(names, {"waveform": waveform, "lengths": lengths}), strict=True))


@pytest.mark.parametrize("per_band", [True, False])
@pytest.mark.parametrize(("mels", "low_hz", "high_hz"), [(64, 50.0, 7_800.0), (40, 0.0, 8_000.0)])
@pytest.mark.parametrize(("window", "hop"), [(400, 160), (1_024, 320), (640, 320), (320, 320)])
def test_frontend_equals_torch(per_band: bool, mels: int, low_hz: float, high_hz: float, window: int, hop: int) -> None:
    frontend = LogMel(mels, low_hz, high_hz, per_band, window_samples=window, hop_samples=hop)
    waveform, lengths = batch((300, *LENGTHS), padding=777)
    expected, counts = frontend(torch.from_numpy(waveform), torch.from_numpy(lengths))
    log_mel, found = session(frontend_graph(frontend)).run(None, {"waveform": waveform, "lengths": lengths})
    assert found.tolist() == counts.tolist()
    np.testing.assert_allclose(log_mel, expected.numpy(), rtol=0.0, atol=1e-4)


def test_mel_points_are_slaneys() -> None:
    points = mel_points(13, 0.0, 1_000.0)
    assert np.allclose(points, np.linspace(0.0, 1_000.0, 15))  # linear below 1 kHz
    high = mel_points(25, 1_000.0, 6_400.0)
    assert np.allclose(np.diff(np.log(high)), np.log(6.4) / 26)  # and logarithmic above
    assert (high[0], high[-1]) == (pytest.approx(1_000.0), pytest.approx(6_400.0))


@pytest.mark.parametrize("size", SIZES)
def test_student_equals_torch(size: str, student_of: Callable[[str], Any], graph_of: Callable[[str], Any]) -> None:
    waveform, lengths = batch(LENGTHS, padding=500)
    with torch.inference_mode():
        expected = student_of(size)(torch.from_numpy(waveform), torch.from_numpy(lengths))
    found = answer(session(graph_of(size)), waveform, lengths)
    assert np.ptp(expected["logits"].numpy(), axis=0).max() > 0.01  # the scores depend on the clip
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_padding_and_batching_do_not_change_a_clip(size: str, graph_of: Callable[[str], Any]) -> None:
    model = session(graph_of(size))
    waveform, lengths = batch(LENGTHS)
    together = answer(model, waveform, lengths)
    for row, length in enumerate(LENGTHS):
        clip = waveform[row : row + 1, :length]
        alone = answer(model, clip, lengths[row : row + 1])
        padded = answer(model, np.pad(clip, ((0, 0), (0, 20_000))), lengths[row : row + 1])
        for name, value in alone.items():
            np.testing.assert_allclose(padded[name], value, rtol=0.0, atol=1e-4)
            np.testing.assert_allclose(together[name][row], value[0], rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_contract_and_size(
    size: str, tmp_path: Path, student_of: Callable[[str], Any], graph_of: Callable[[str], Any]
) -> None:
    model, student = graph_of(size), student_of(size)
    described = {
        value.name: (value.type, value.shape)
        for part in (session(model).get_inputs(), session(model).get_outputs())
        for value in part
    }
    assert list(described) == ["waveform", "lengths", "logits", "embedding"]
    assert described["waveform"][0] == "tensor(float)"
    assert described["lengths"][0] == "tensor(int64)"
    assert described["logits"][1][1] == 7
    assert described["embedding"][1][1] == student.arguments.embedding
    onnx.save(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 1.1 * 4 * parameter_count(student)


@pytest.mark.parametrize("size", SIZES)
def test_no_notes_of_the_exporter_are_left(size: str, graph_of: Callable[[str], Any]) -> None:
    model = graph_of(size)
    assert not model.metadata_props
    assert not model.graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    text = model.SerializeToString()
    assert b"site-packages" not in text
    assert b"pkg.torch" not in text


@pytest.mark.parametrize("size", SIZES)
def test_every_weight_is_in_the_graph(
    size: str, student_of: Callable[[str], Any], graph_of: Callable[[str], Any]
) -> None:
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph_of(size).graph.initializer)
    weights = sum(parameter.numel() for parameter in student_of(size).parameters() if parameter.ndim > 1)
    assert stored >= weights

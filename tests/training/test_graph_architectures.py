import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
onnx = pytest.importorskip("onnx", reason='needs the extra "train"')

import onnxruntime  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from voices import sound  # noqa: E402

from sercli.errors import BundleError  # noqa: E402
from sercli.evaluation.macs import count_macs  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.student import StudentNetwork  # noqa: E402
from sercli.training.export import load_student  # noqa: E402
from sercli.training.graph import student_graph  # noqa: E402
from sercli.training.learner import Learner  # noqa: E402
from sercli.training.quantise import quantise  # noqa: E402
from sercli.training.recipe import AugmentPart  # noqa: E402

# One of every kind of layer is enough for the exporter, which takes seconds. `test_graph` has the sizes of
# `cnn-attention` as they are.
TINY: dict[str, dict[str, Any]] = {
    "tdnn": {"channels": 24, "dilations": [1, 3], "excitation": 8, "frame_channels": 32},
    "conformer": {"blocks": 1, "width": 24, "kernel": 7},
    "crnn": {"blocks": [[24, 2, 2]], "frame_channels": 32, "hidden": 16},
    "cnn-fmha": {"blocks": [[16, 2], [24, 1]], "sets": 2},
    "cnn6": {"window_ms": 25, "hop_ms": 10, "channels": [16, 24]},
    "vgg15": {"window_ms": 25, "hop_ms": 10, "blocks": [[16, 2], [24, 1]]},
    "resnet9": {"window_ms": 25, "hop_ms": 10, "stem": 16, "channels": [24]},
    "mobilenet15": {"window_ms": 25, "hop_ms": 10, "stem": 16, "blocks": [[24, 1], [32, 2]]},
}
LENGTHS = (4_000, 11_111, 24_000)  # samples; the first is the shortest clip the runtime sends, 0.25 s
each_architecture = pytest.mark.parametrize("architecture", TINY)


@functools.cache
def student(architecture: str) -> StudentNetwork:
    """A student as after some training: its batch norms have seen sound, so that its scores depend on what it hears."""
    torch.manual_seed(0)
    model = students.build(students.arguments_from(TINY[architecture], "nano", architecture), classes=7).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.normal_(module.bias, 0.0, 0.3)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        clips = torch.stack([torch.from_numpy(sound(seed, 16_000)) for seed in range(8)])
        model(clips, torch.full((8,), 16_000))
    return model.eval()


@functools.cache
def graph(architecture: str) -> Any:
    return student_graph(student(architecture))


@functools.cache
def int8(architecture: str) -> Any:
    return quantise(graph(architecture), [sound(seed, 8_000 + 500 * seed) for seed in range(12)])


def batch(padding: int = 0) -> dict[str, np.ndarray]:
    waveform = np.zeros((len(LENGTHS), max(LENGTHS) + padding), np.float32)
    for row, length in enumerate(LENGTHS):
        waveform[row, :length] = sound(row, length)
    return {"waveform": waveform, "lengths": np.array(LENGTHS, np.int64)}


def answer(model: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(["logits", "embedding"], feed)
    return found


@each_architecture
def test_onnx_equals_torch(architecture: str) -> None:
    feed = batch(padding=500)
    with torch.inference_mode():
        outputs = student(architecture)(*(torch.from_numpy(array) for array in feed.values()))
    expected = [outputs[name].numpy() for name in ("logits", "embedding")]
    assert np.ptp(expected[0], axis=0).max() > 0.01  # the scores depend on the clip
    for found, value in zip(answer(graph(architecture), feed), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0.0, atol=1e-4)


@each_architecture
def test_any_batch_and_any_length_from_the_shortest_clip_on(architecture: str) -> None:
    feed = batch()
    together = answer(graph(architecture), feed)
    for row, length in enumerate(LENGTHS):
        clip = feed["waveform"][row : row + 1, :length]
        for waveform in (clip, np.pad(clip, ((0, 0), (0, 20_000)))):
            alone = answer(graph(architecture), {"waveform": waveform, "lengths": np.array([length], np.int64)})
            for found, expected in zip(alone, together, strict=True):
                np.testing.assert_allclose(found[0], expected[row], rtol=0.0, atol=1e-4)


@each_architecture
def test_int8_says_nearly_the_same(architecture: str) -> None:
    rows = []
    for model in (graph(architecture), int8(architecture)):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = [{"waveform": sound(seed, 12_000)[None], "lengths": np.array([12_000])} for seed in range(100, 130)]
        rows.append(np.array([session.run(["logits"], feed)[0][0] for feed in [*feeds, first_row(batch())]]))
    exact, rough = rows[0] - rows[0].mean(axis=0), rows[1] - rows[0].mean(axis=0)
    assert np.ptp(exact, axis=0).max() > 0.01
    assert np.corrcoef(exact.ravel(), rough.ravel())[0, 1] > 0.75
    assert len(int8(architecture).SerializeToString()) < len(graph(architecture).SerializeToString())


def first_row(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The shortest clip."""
    return {"waveform": feed["waveform"][:1, : LENGTHS[0]], "lengths": feed["lengths"][:1]}


@each_architecture
def test_all_work_is_counted(architecture: str) -> None:
    one, two = ({"waveform": sound(0, n)[None], "lengths": np.array([n])} for n in (16_400, 32_400))  # 101, 201 frames
    macs = count_macs(graph(architecture), one)
    assert not macs.uncounted
    assert macs.front_end == 101 * (2 * 200 * 201 + 201 * 64)  # no product of the network is taken for the front end's
    assert count_macs(graph(architecture), two).total > 1.9 * macs.total


@each_architecture
def test_a_run_folder_rebuilds_its_student(architecture: str, tmp_path: Path) -> None:
    model = student(architecture)
    students.save_weights(model, tmp_path / "model.safetensors")
    arguments = json.loads(json.dumps(students.arguments_dict(model.arguments)))
    config = {"architecture": architecture, "arguments": arguments, "labels": list("abcdefg")}
    again = load_student(tmp_path, config)
    assert type(again) is type(model)
    clip, length = torch.from_numpy(sound(3, 8_000))[None], torch.tensor([8_000])
    with torch.inference_mode():
        torch.testing.assert_close(again(clip, length)["logits"], model(clip, length)["logits"], rtol=0.0, atol=1e-6)
    with pytest.raises(BundleError, match="unknown architecture 'cnn-2'; update sercli"):
        load_student(tmp_path, {**config, "architecture": "cnn-2"})


@each_architecture
def test_a_checkpoint_can_be_written(architecture: str, tmp_path: Path) -> None:
    arguments = students.arguments_from(TINY[architecture], "nano", architecture)
    learner = Learner(students.build(arguments, classes=7), [], AugmentPart(), average=0.9)
    save_file(learner.state_dict(), tmp_path / "model.safetensors")  # refuses what channels last leaves behind
    saved = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in learner.state_dict().items())

"""Students in torch by `from_pretrained`: the same network, and nothing but its own weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
from sercli.errors import BundleError  # noqa: E402
from sercli.hub.bundled import DEFAULT_MODEL, students  # noqa: E402
from sercli.models.hub import PretrainedStudent  # noqa: E402
from tests.tiny import RATE, tone  # noqa: E402

BUNDLE = students()[DEFAULT_MODEL]


def logits(model: PretrainedStudent) -> np.ndarray:
    waveform = torch.from_numpy(tone(440, 1.0)[None])
    with torch.inference_mode():
        found: np.ndarray = model(waveform, torch.tensor([RATE]))["logits"].numpy()
    return found


def test_answers_as_the_graph_does() -> None:
    import onnxruntime

    model = PretrainedStudent.from_pretrained(BUNDLE)
    feed = {"waveform": tone(440, 1.0)[None], "lengths": np.array([RATE])}
    expected = onnxruntime.InferenceSession(BUNDLE / "model.onnx").run(["logits"], feed)[0]
    np.testing.assert_allclose(logits(model), expected, atol=1e-4)
    assert not model.training
    assert model.labels == tuple(json.loads((BUNDLE / "config.json").read_text())["labels"])


def test_what_it_saves_it_loads(tmp_path: Path) -> None:
    model = PretrainedStudent.from_pretrained(BUNDLE)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads((BUNDLE / "config.json").read_text())
    np.testing.assert_array_equal(logits(PretrainedStudent.from_pretrained(tmp_path)), logits(model))


def test_refuses_pickles_and_foreign_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shutil.copy(BUNDLE / "config.json", tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(BundleError, match="not the weights of this architecture"):
        PretrainedStudent.from_pretrained(tmp_path)
    with pytest.raises(BundleError, match="a pickle, which sercli never loads"):
        PretrainedStudent._load_as_pickle(PretrainedStudent.from_pretrained(BUNDLE), "pytorch_model.bin", "cpu", True)

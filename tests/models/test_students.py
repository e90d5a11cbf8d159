from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from safetensors.torch import load_file, save_file  # noqa: E402

from sercli.errors import BundleError, RecipeError  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.student import StudentNetwork  # noqa: E402

torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
NANO = students.arguments_from({}, "nano")


def student(seed: int = 0) -> StudentNetwork:
    torch.manual_seed(seed)
    return students.build(NANO, classes=7).eval()


def speech(samples: int, seed: int = 0) -> torch.Tensor:
    signal = np.random.default_rng(seed).normal(0.0, 0.1, samples).cumsum()
    return torch.from_numpy((signal / np.abs(signal).max()).astype(np.float32))[None]


@pytest.mark.parametrize(
    ("values", "size", "message"),
    [
        ({}, "mirco", "student.size: no size 'mirco'; did you mean micro?"),
        ({}, "x", "student.size: no size 'x'; known: nano, micro, small"),
        (
            {"embeding": 8},
            "nano",
            "unknown recipe key student.arguments.embeding; did you mean student.arguments.embedding?",
        ),
        ({"stem": "wide"}, "nano", "student.arguments.stem: needs a value of type int, not 'wide'"),
        ({"per_band": 1}, "nano", "student.arguments.per_band: needs a value of type bool, not 1"),
        ({"blocks": [[24, 2]]}, "nano", "student.arguments.blocks[0]: needs 3 values, not 2"),
    ],
)
def test_wrong_arguments_name_the_key(values: dict[str, object], size: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        students.arguments_from(values, size)
    assert str(caught.value).startswith(message)


def test_weights_survive_a_file(tmp_path: Path) -> None:
    one, other = student(0), student(1)
    students.save_weights(one, tmp_path / "model.safetensors")
    students.load_weights(other, tmp_path / "model.safetensors")
    clip, length = speech(8_000), torch.tensor([8_000])
    with torch.inference_mode():
        assert torch.equal(one(clip, length)["logits"], other(clip, length)["logits"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "missing classifier.weight"),
        ("unexpected", "unexpected extra"),
        ("misshapen", "weights of another shape (size mismatch for classifier.weight"),
        ("corrupt", "cannot read the weights"),
        ("absent", "cannot read the weights"),
    ],
)
def test_foreign_weights_are_refused(tmp_path: Path, damage: str, message: str) -> None:
    model, path = student(), tmp_path / "model.safetensors"
    students.save_weights(model, path)
    weights = load_file(path)
    if damage == "missing":
        del weights["classifier.weight"]
    elif damage == "unexpected":
        weights["extra"] = torch.zeros(1)
    elif damage == "misshapen":
        weights["classifier.weight"] = torch.zeros(8, NANO.embedding)
    save_file(weights, path)
    if damage == "corrupt":
        path.write_bytes(path.read_bytes()[:1_000])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(BundleError) as caught:
        students.load_weights(model, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

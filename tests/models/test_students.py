import functools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from safetensors.torch import load_file, save_file  # noqa: E402

from sercli.errors import BundleError, RecipeError  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.cnn import CnnAttention  # noqa: E402

torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
SIZES = list(students.STUDENTS)


@functools.cache
def student(size: str) -> CnnAttention:
    """A student as after some training: its batch norms have seen sound, so that its scores depend on what it hears."""
    torch.manual_seed(0)
    model = students.build(students.STUDENTS[size], classes=7).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # a plain mean of what is seen
            torch.nn.init.normal_(module.bias, 0.0, 0.3)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        model(torch.cat([speech(16_000, seed) for seed in range(8)]), torch.full((8,), 16_000))
    return model.eval()


def speech(samples: int, seed: int = 0) -> torch.Tensor:
    signal = np.random.default_rng(seed).normal(0.0, 0.1, samples).cumsum()
    return torch.from_numpy((signal / np.abs(signal).max()).astype(np.float32))[None]


@pytest.mark.parametrize(("size", "limit"), [("nano", 50_000), ("micro", 500_000), ("small", 4_000_000)])
def test_size_keeps_its_limit(size: str, limit: int) -> None:
    count = students.parameter_count(students.build(students.STUDENTS[size], classes=8))
    assert limit / 3 < count <= limit


@pytest.mark.parametrize("size", SIZES)
def test_padding_and_batching_do_not_change_a_clip(size: str) -> None:
    model = student(size)
    clips = [speech(samples, seed) for seed, samples in enumerate((4_000, 17_123, 24_000))]
    width = max(clip.shape[1] for clip in clips)
    batch = torch.cat([torch.nn.functional.pad(clip, (0, width - clip.shape[1])) for clip in clips])
    with torch.inference_mode():
        together = model(batch, torch.tensor([clip.shape[1] for clip in clips]))
        for row, clip in enumerate(clips):
            alone = model(clip, torch.tensor([clip.shape[1]]))
            padded = model(torch.nn.functional.pad(clip, (0, 16_000)), torch.tensor([clip.shape[1]]))
            for name in ("logits", "embedding"):
                assert torch.isfinite(alone[name]).all()
                torch.testing.assert_close(padded[name], alone[name], rtol=0.0, atol=1e-4)
                torch.testing.assert_close(together[name][row], alone[name][0], rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_shapes_of_the_shortest_clip(size: str) -> None:
    with torch.inference_mode():
        outputs = student(size)(speech(4_000), torch.tensor([4_000]))  # 0.25 s
    assert outputs["logits"].shape == (1, 7)
    assert outputs["embedding"].shape == (1, students.STUDENTS[size].embedding)


@pytest.mark.parametrize("size", SIZES)
def test_different_sounds_give_different_scores(size: str) -> None:
    model = student(size)
    with torch.inference_mode():
        one, other = (model(speech(16_000, seed), torch.tensor([16_000]))["logits"] for seed in (1, 2))
    assert float((one - other).abs().max()) > 0.01


@pytest.mark.parametrize(
    ("values", "size", "message"),
    [
        ({}, "mirco", "student.size: no size 'mirco'; did you mean 'micro'?"),
        ({}, "x", "student.size: no size 'x'; choose one of nano, micro, small"),
        ({"embeding": 8}, "nano", "student.arguments: unknown key 'embeding'; did you mean 'embedding'?"),
        ({"stem": "wide"}, "nano", "student.arguments.stem: needs a value of type int, not 'wide'"),
        ({"per_band": 1}, "nano", "student.arguments.per_band: needs a value of type bool, not 1"),
        ({"blocks": [[24, 2]]}, "nano", "student.arguments.blocks: write it as [[24, 2, 2], [32, 2, 1]]: channels"),
    ],
)
def test_wrong_arguments_name_the_key(values: dict[str, object], size: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        students.arguments_from(values, size)
    assert str(caught.value).startswith(message)


def test_arguments_survive_json() -> None:
    for arguments in students.STUDENTS.values():
        assert students.arguments_from(students.arguments_dict(arguments)) == arguments
    assert students.arguments_from({"dropout": 0}, "nano").stem == students.STUDENTS["nano"].stem


def test_weights_survive_a_file(tmp_path: Path) -> None:
    one, other = student("nano"), students.build(students.STUDENTS["nano"], classes=7).eval()
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
    model, path = students.build(students.STUDENTS["nano"], classes=7), tmp_path / "model.safetensors"
    students.save_weights(model, path)
    weights = load_file(path)
    if damage == "missing":
        del weights["classifier.weight"]
    elif damage == "unexpected":
        weights["extra"] = torch.zeros(1)
    elif damage == "misshapen":
        weights["classifier.weight"] = torch.zeros(8, students.STUDENTS["nano"].embedding)
    save_file(weights, path)
    if damage == "corrupt":
        path.write_bytes(path.read_bytes()[:1_000])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(BundleError) as caught:
        students.load_weights(model, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", SIZES)
def test_stages_are_the_frames_of_each_depth_and_change_nothing(size: str) -> None:
    model = student(size)
    clips, lengths = torch.cat([speech(16_000, 1), speech(16_000, 2)]), torch.tensor([16_000, 9_000])
    clips[1, 9_000:] = 0
    stages: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.no_grad():
        log_mel, counts = model.frontend(clips, lengths)
        plain = model.body(log_mel, counts)["logits"]
        assert torch.equal(model.body(log_mel, counts, stages)["logits"], plain)
    assert {name: features.shape[2] for name, (features, _) in stages.items()} == model.stages
    assert list(stages)[-1] == "frames"
    for features, frames in stages.values():
        assert features.shape[1] == int(frames.max())
        assert not features[1, int(frames[1]) :].any(), "padding is zero"

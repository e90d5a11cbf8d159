import functools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.crnn import reverse  # noqa: E402
from sercli.models.fmha import FusedAttention  # noqa: E402
from sercli.models.lightweight import (  # noqa: E402
    Cnn6Arguments,
    Mobilenet15Arguments,
    Resnet9Arguments,
    Vgg15Arguments,
)
from sercli.models.student import StudentArguments, StudentNetwork, strided  # noqa: E402
from sercli.models.tdnn import TdnnArguments  # noqa: E402

torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
LIMITS = {"nano": 50_000, "micro": 500_000, "small": 4_000_000}
NANOS: dict[str, StudentArguments] = {
    name: kind.sizes["nano"] for name, kind in students.ARCHITECTURES.items() if kind.sizes
}
CASES: dict[str, StudentArguments] = {
    **NANOS,
    "cnn-attention, micro": students.ARCHITECTURES["cnn-attention"].sizes["micro"],
    "tdnn, 40 ms, squeeze-excitation": TdnnArguments(channels=16, stride=4, excitation=8, dilations=(1, 3)),
    "cnn6": Cnn6Arguments(embedding=12, mels=16, channels=(8, 12)),
    "vgg15": Vgg15Arguments(embedding=12, mels=16, blocks=((8, 2), (12, 3))),
    "resnet9": Resnet9Arguments(embedding=12, mels=16, stem=8, channels=(12, 16)),
    "mobilenet15": Mobilenet15Arguments(embedding=12, mels=16, stem=8, blocks=((12, 1), (16, 2))),
}
each_case = pytest.mark.parametrize("case", CASES)


@functools.cache
def student(case: str) -> StudentNetwork:
    """A student as after some training: its batch norms have seen sound, so that its scores depend on what it hears."""
    torch.manual_seed(0)
    model = students.build(CASES[case], classes=7).train()
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


@pytest.mark.parametrize("size", LIMITS)
@pytest.mark.parametrize("architecture", NANOS)
def test_size_uses_and_keeps_its_limit(architecture: str, size: str) -> None:
    count = students.parameter_count(students.build(students.arguments_from({}, size, architecture), classes=8))
    assert 0.35 * LIMITS[size] < count <= LIMITS[size]


@each_case
def test_padding_and_batching_do_not_change_a_clip(case: str) -> None:
    model = student(case)
    # one frame, two frames, a frame more than a multiple of the strides, and longer
    window, hop = model.frontend.window_samples, model.frontend.hop_samples
    lengths = (window, window + hop, window + 8 * hop, 17_123, 24_000)
    clips = [speech(samples, seed) for seed, samples in enumerate(lengths)]
    width = max(clip.shape[1] for clip in clips)
    batch = torch.cat([torch.nn.functional.pad(clip, (0, width - clip.shape[1])) for clip in clips])
    with torch.inference_mode():
        together = model(batch, torch.tensor([clip.shape[1] for clip in clips]))
        for row, clip in enumerate(clips):
            alone = model(clip, torch.tensor([clip.shape[1]]))
            padded = model(torch.nn.functional.pad(clip, (0, 16_000)), torch.tensor([clip.shape[1]]))
            for name in ("logits", "embedding"):
                assert torch.isfinite(alone[name]).all()
                torch.testing.assert_close(padded[name], alone[name], rtol=0.0, atol=1e-5)
                torch.testing.assert_close(together[name][row], alone[name][0], rtol=0.0, atol=1e-5)


@each_case
def test_scores_depend_on_the_sound_and_have_their_shapes(case: str) -> None:
    model = student(case)
    with torch.inference_mode():
        outputs = model(torch.cat([speech(16_000, 1), speech(16_000, 2)]), torch.tensor([16_000, 16_000]))
    assert outputs["logits"].shape == (2, model.classes) == (2, 7)
    assert outputs["embedding"].shape == (2, CASES[case].embedding)
    assert float((outputs["logits"][0] - outputs["logits"][1]).abs().max()) > 0.01


@each_case
def test_stages_are_the_frames_of_each_depth_and_change_nothing(case: str) -> None:
    model = student(case)
    clips, lengths = torch.cat([speech(16_000, 1), speech(16_000, 2)]), torch.tensor([16_000, 9_000])
    clips[1, 9_000:] = 0
    stages: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.no_grad():
        log_mel, counts = model.frontend(clips, lengths)
        plain = model.body(log_mel, counts)["logits"]
        assert torch.equal(model.body(log_mel, counts, stages)["logits"], plain)
    assert {name: features.shape[2] for name, (features, _) in stages.items()} == model.stages
    assert list(stages) == list(model.stages)
    assert list(stages)[-1] == "frames"
    for features, frames in stages.values():
        assert features.shape[1] == int(frames.max())
        assert features[1, int(frames[1]) - 1].any()
        assert not features[1, int(frames[1]) :].any(), "padding is zero"


@each_case
def test_gradient_reaches_every_parameter(case: str) -> None:
    torch.manual_seed(0)
    model = students.build(CASES[case], classes=7).train()
    outputs = model(torch.cat([speech(16_000, seed) for seed in range(4)]), torch.full((4,), 16_000))
    wanted = outputs.get("exits", outputs["logits"])  # every set of an architecture that has several
    torch.logsumexp(wanted, dim=-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("pool.outer.bias"):  # the same for all frames: softmax over time takes it away
            assert parameter.grad.any(), name


@each_case
def test_the_seed_sets_the_start(case: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(students.build(CASES[case], classes=7).state_dict())
    one, again, other = states
    assert all(torch.equal(again[name], value) for name, value in one.items())
    assert any(not torch.equal(other[name], value) for name, value in one.items())


@each_case
def test_bfloat16_and_channels_last_hear_the_same(case: str) -> None:
    model = student(case)
    with torch.inference_mode():
        log_mel, counts = model.frontend(torch.cat([speech(24_000, 1), speech(24_000, 2)]), torch.tensor([24_000, 900]))
        exact = model.body(log_mel, counts)["embedding"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model.body(log_mel, counts)["embedding"].float()
        model.to(memory_format=torch.channels_last)
        same = model.body(log_mel, counts)["embedding"]
        model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(same, exact, rtol=0.0, atol=1e-5)
    assert float((rough - exact).abs().mean()) < 0.05 * float(exact.abs().mean())


@each_case
def test_arguments_survive_json(case: str) -> None:
    (architecture,) = (name for name, kind in students.ARCHITECTURES.items() if kind.arguments is type(CASES[case]))
    plain = students.arguments_dict(CASES[case])
    assert students.arguments_from(plain, architecture=architecture) == CASES[case]
    plainly = NANOS.get(architecture) or students.ARCHITECTURES[architecture].arguments()
    assert students.arguments_from({"dropout": 0}, "nano", architecture) == replace(plainly, dropout=0.0)


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        ("tdn", {}, "student.architecture: no architecture 'tdn'; did you mean tdnn?"),
        (
            "lstm",
            {},
            "student.architecture: no architecture 'lstm'; known: cnn-attention, tdnn, conformer, crnn",
        ),
        ("tdnn", {"stem": 8}, "unknown recipe key student.arguments.stem"),
        ("tdnn", {"kernel": 4}, "student.arguments.kernel: must be odd and positive, not 4"),
        ("tdnn", {"dilations": []}, "student.arguments.dilations: needs one at least"),
        ("conformer", {"heads": 5}, "student.arguments.heads: must divide the width of 32, not 5"),
        ("conformer", {"kernel": 0}, "student.arguments.kernel: must be odd and positive, not 0"),
        ("cnn-fmha", {"sets": 5}, "student.arguments.sets: must be from 1 to the number of blocks, 4, not 5"),
        ("cnn-fmha", {"long": 2}, "student.arguments.long: must be odd and positive, not 2"),
    ],
)
def test_wrong_arguments_name_the_key(architecture: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        students.arguments_from(values, "nano", architecture)
    assert str(caught.value).startswith(message)


def test_exits_are_the_attention_sets_from_shallow_to_deep() -> None:
    model = student("cnn-fmha")
    with torch.inference_mode():
        outputs = model(speech(16_000), torch.tensor([16_000]))
    assert outputs["exits"].shape == (1, 3, 7)
    assert torch.equal(outputs["exits"][:, -1], outputs["logits"])
    assert not torch.allclose(outputs["exits"][:, 0], outputs["logits"])


@pytest.mark.parametrize(("heads", "width", "parameters"), [(4, 64, 155_668), (8, 256, 592_276)])
def test_parameters_of_head_fusion_are_reached(heads: int, width: int, parameters: int) -> None:
    """About 156 k and 592 k with one attention set of four classes, as the code of the paper has them."""
    values = {"sets": 1, "heads": heads, "embedding": width}
    model = students.build(students.arguments_from(values, architecture="cnn-fmha"), classes=4)
    assert students.parameter_count(model) == parameters


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("cnn6", 4_439_367), ("vgg15", 14_859_335), ("resnet9", 4_960_583), ("mobilenet15", 674_695)],
)
def test_parameters_of_the_networks_of_nsl_are_the_papers(architecture: str, parameters: int) -> None:
    """With 64 bands and 7 classes, and four values to a channel of a batch norm, as Keras counts."""
    model = students.build(students.arguments_from({}, architecture=architecture), classes=7)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert students.parameter_count(model) + sum(2 * norm.num_features for norm in norms) == parameters
    assert (model.frontend.mels, model.arguments.embedding) == (64, 256)


def test_fused_attention_is_what_the_paper_writes() -> None:
    """Head by head softmax(q * k) * v in every point, then ReLU and the mean over heads, bands and frames."""
    torch.manual_seed(0)
    attention = FusedAttention(channels=5, heads=3, width=4, classes=2, dropout=0.0).eval()
    features, mask = torch.randn(2, 5, 6, 7), torch.ones(2, 1, 7)
    mask[1, 0, 5:] = 0
    maps = (features * mask[:, None]).requires_grad_()
    query, key, value = (layer(maps) for layer in (attention.query, attention.key, attention.value))
    heads = [
        torch.softmax(query[:, part] * key[:, part], dim=1) * value[:, part]
        for part in (slice(0, 4), slice(4, 8), slice(8, 12))
    ]
    points = torch.relu(torch.stack(heads)).mean(dim=(0, 3)) * mask
    expected = points.sum(dim=2) / mask.sum(dim=2)
    _, embedding, fused = attention(maps, mask)
    torch.testing.assert_close(fused, points)
    torch.testing.assert_close(embedding, attention.norm(expected))
    gradients = [torch.autograd.grad(one.square().sum(), maps, retain_graph=True)[0] for one in (points, fused)]
    torch.testing.assert_close(*gradients)


def test_reversed_clips_keep_their_padding_behind() -> None:
    features = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]])[:, :, None]
    assert reverse(features, torch.tensor([3, 1]))[:, :, 0].tolist() == [[3.0, 2.0, 1.0, 0.0], [4.0, 0.0, 0.0, 0.0]]


def test_crnn_reads_as_a_bidirectional_layer_on_packed_clips() -> None:
    model = student("crnn")
    packed = torch.nn.GRU(model.forwards.input_size, model.forwards.hidden_size, batch_first=True, bidirectional=True)
    weights = dict(model.forwards.state_dict())
    weights |= {f"{name}_reverse": value for name, value in model.backwards.state_dict().items()}
    packed.load_state_dict(weights)
    clips, lengths = torch.cat([speech(16_000, 1), speech(16_000, 2)]), torch.tensor([16_000, 7_000])
    clips[1, 7_000:] = 0
    stages: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.inference_mode():
        log_mel, counts = model.frontend(clips, lengths)
        model.body(log_mel, counts, stages)
        features, _, counts = model.frames(log_mel, counts, None)
        sequence = pack_padded_sequence(features.transpose(1, 2), counts, batch_first=True)
        expected, _ = pad_packed_sequence(packed(sequence)[0], batch_first=True)
    torch.testing.assert_close(stages["frames"][0], expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_frames_left_by_a_stride_are_those_of_a_convolution(stride: int) -> None:
    convolution = torch.nn.Conv1d(1, 1, 2 * stride + 1, stride=stride, padding=stride)
    found = strided(torch.arange(1, 30), stride)
    assert found.tolist() == [convolution(torch.zeros(1, 1, frames)).shape[2] for frames in range(1, 30)]

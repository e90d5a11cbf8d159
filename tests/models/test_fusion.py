"""A student that hears and reads: three modes in one network, whatever the fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
pytest.importorskip("transformers", reason='needs the extra "train"')

from sercli.errors import BundleError, RecipeError  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.fusion import FUSIONS, FusedArguments  # noqa: E402
from sercli.models.text_encoder import Reading, TextSource, load_text_encoder, load_tokenizer, reading  # noqa: E402
from tests.text_encoders import save_text_encoder  # noqa: E402

LENGTHS = torch.tensor([8_000, 6_000, 7_000])
each_fusion = pytest.mark.parametrize("fusion", FUSIONS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_text_encoder(tmp_path_factory.mktemp("text") / "bert")


def fused(encoder: Path, fusion: str, **changes: Any) -> Any:
    torch.manual_seed(1)
    arguments = FusedArguments(
        embedding=16, dimensions=True, text=str(encoder), fusion=fusion, audio_arguments={"mels": 32}, **changes
    )
    return students.build(arguments, 4).eval()


def waveform(padding: int = 0) -> Any:
    random = torch.Generator().manual_seed(0)
    clips = torch.zeros(len(LENGTHS), int(LENGTHS.max()) + padding)
    for row, length in zip(clips, LENGTHS, strict=True):
        row[:length] = 0.1 * torch.randn(int(length), generator=random)
    return clips


def told(encoder: Path, *texts: str) -> Reading:
    tokenizer = load_tokenizer(TextSource(str(encoder)))
    return reading([tokenizer(text) for text in texts])


@each_fusion
def test_a_missing_transcript_takes_the_path_of_sound_alone_exactly(encoder: Path, fusion: str) -> None:
    model = fused(encoder, fusion)
    with torch.inference_mode():
        alone = model(waveform(), LENGTHS)
        none = model(waveform(), LENGTHS, told(encoder, "", " ", ""))
        mixed = model(waveform(), LENGTHS, told(encoder, "", "dogs are happy", ""))
    for name in ("logits", "dimensions"):
        assert torch.equal(alone[name], none[name])
        torch.testing.assert_close(mixed[name][[0, 2]], alone[name][[0, 2]], rtol=0.0, atol=1e-6)
        assert not torch.allclose(mixed[name][1], alone[name][1], atol=1e-4)


@each_fusion
def test_text_alone_does_not_hear_and_sound_alone_does_not_read(encoder: Path, fusion: str) -> None:
    model = fused(encoder, fusion)
    words = told(encoder, "kids are sad", "dogs are sad", "the door")
    deaf = words._replace(audible=torch.zeros(3, dtype=torch.bool))
    with torch.inference_mode():
        one, other = (model(sound, LENGTHS, deaf)["logits"] for sound in (waveform(), torch.rand(3, 8_000)))
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-6)
        assert not torch.allclose(one[0], one[1], atol=1e-5), "but it reads"
        nothing = told(encoder, "", "", "")._replace(audible=torch.zeros(3, dtype=torch.bool))
        assert torch.equal(model(waveform(), LENGTHS, nothing)["logits"], model(waveform(), LENGTHS)["logits"])


@each_fusion
def test_neither_batch_nor_padding_matters(encoder: Path, fusion: str) -> None:
    model = fused(encoder, fusion, pooling="attentive")
    texts = ("kids are talking by the door", "dogs", "zażółć gęślą jaźń 怒り")
    with torch.inference_mode():
        together = model(waveform(900), LENGTHS, told(encoder, *texts))["logits"]
        for row, text in enumerate(texts):
            clip = waveform()[row : row + 1, : LENGTHS[row]]
            alone = model(clip, LENGTHS[row : row + 1], told(encoder, text))["logits"]
            torch.testing.assert_close(alone[0], together[row], rtol=0.0, atol=1e-4)


def test_a_frozen_text_encoder_is_neither_trained_nor_saved(encoder: Path, tmp_path: Path) -> None:
    model = fused(encoder, "gated").train()
    assert not model.text.training
    model(waveform(), LENGTHS, told(encoder, "kids", "dogs", ""))["logits"].sum().backward()
    assert all(weight.grad is None for weight in model.text.parameters())
    assert model.hear[1].weight.grad.any()
    assert model.read[1].weight.grad.any()
    assert not any(key.startswith("text.") for key in model.state_dict())
    students.save_weights(model, tmp_path / "model.safetensors")
    again = students.build(model.arguments, 4).eval()
    students.load_weights(again, tmp_path / "model.safetensors")
    with torch.inference_mode():
        words = told(encoder, "kids", "dogs", "")
        torch.testing.assert_close(again(waveform(), LENGTHS, words), model.eval()(waveform(), LENGTHS, words))


def test_a_trained_text_encoder_is_saved_with_the_student(encoder: Path) -> None:
    model = fused(encoder, "concat", trained_text=True).train()
    model(waveform(), LENGTHS, told(encoder, "kids", "dogs", ""))["logits"].sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.text.parameters())
    assert any(key.startswith("text.") for key in model.state_dict())


def test_other_weights_of_the_text_encoder_are_refused(encoder: Path, tmp_path: Path) -> None:
    model = fused(encoder, "concat")
    other = save_text_encoder(tmp_path / "other", seed=1)
    with pytest.raises(BundleError, match="other weights than the student read with"):
        students.build(FusedArguments(text=str(other), text_sha256=model.arguments.text_sha256), 4)
    with pytest.raises(RecipeError, match="a multiple of 4 for cross-attention"):
        FusedArguments(embedding=18, fusion="cross-attention")


def test_the_same_text_is_read_once(encoder: Path) -> None:
    model = load_text_encoder(TextSource(str(encoder)))
    seen = []
    model.model.register_forward_pre_hook(lambda _, __, given: seen.append(len(given["input_ids"])), with_kwargs=True)
    words = told(encoder, "kids are talking", "dogs", "kids are talking")
    states = model(words.tokens, words.counts)
    assert seen == [2]
    assert torch.equal(states[0], states[2])
    assert not states[1, int(words.counts[1]) :].any()

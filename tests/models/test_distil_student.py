"""The first layers of tiny random encoders as students."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from sercli.errors import RecipeError, UsageError  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.encoder import Encoder, EncoderSource, load_encoder  # noqa: E402
from sercli.models.student import StudentNetwork  # noqa: E402

torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
WAVEFORM: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.9,
    "mask_time_prob": 0.9,
}
LARGE = {**WAVEFORM, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_source_positions": 100,  # 2 s
    "vocab_size": 60,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Model", WAVEFORM),
    "hubert": ("HubertModel", WAVEFORM),
    "hubert-large": ("HubertModel", LARGE),
    "wavlm": ("WavLMModel", WAVEFORM),
    "whisper": ("WhisperModel", WHISPER),
}
each_model = pytest.mark.parametrize("name", MODELS)
HOME = tempfile.TemporaryDirectory(prefix="sercli-encoders-")


@functools.cache
def encoder(name: str) -> Encoder:
    """A tiny encoder whose weights are random, biases too."""
    class_name, config = MODELS[name]
    model_class: Any = getattr(transformers, class_name)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(Path(HOME.name) / name)
    if name != "whisper":
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(Path(HOME.name) / name)
    return load_encoder(EncoderSource(str(Path(HOME.name) / name)))


def student(name: str, **values: Any) -> StudentNetwork:
    encoder(name)
    torch.manual_seed(0)
    arguments = {"encoder": str(Path(HOME.name) / name), "embedding": 8, "attention": 4, **values}
    return students.build(students.arguments_from(arguments, "micro", "distil"), classes=3).eval()


def clips(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of these lengths in samples, zero in the padding."""
    waveform = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        signal = np.random.default_rng(row).normal(0.1, 0.1, length)
        waveform[row, :length] = torch.from_numpy(signal.astype(np.float32))
    return waveform, torch.tensor(lengths)


@each_model
@pytest.mark.parametrize("depth", [2, 3])
def test_its_frames_are_the_encoders_own_states(name: str, depth: int) -> None:
    model, heard = student(name, depth=depth), clips(16_000, 9_000, 700)
    stages: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.inference_mode():
        outputs = model.body(*model.frontend(*heard), stages)
        expected = encoder(name)(*heard)
    assert outputs["logits"].shape == (3, 3)
    assert list(stages) == list(model.stages) == [f"layer{number}" for number in range(depth)] + ["frames"]
    has_norm = name in ("whisper", "hubert-large") and depth == 3  # the encoder's own last state is after its norm
    for (frames, counts), state in list(zip(stages.values(), expected.states, strict=False))[
        : -1 if has_norm else None
    ]:
        assert counts.tolist() == expected.counts.tolist()
        torch.testing.assert_close(frames, state, rtol=0.0, atol=1e-5)


@each_model
def test_padding_and_batching_do_not_change_a_clip(name: str) -> None:
    model = student(name)
    waveform, lengths = clips(400, 4_321, 16_000)
    with torch.inference_mode():
        together = model(waveform, lengths)
        for row, length in enumerate(lengths.tolist()):
            clip = waveform[row : row + 1, :length]
            for alone in (clip, torch.nn.functional.pad(clip, (0, 5_000))):
                found = model(alone, lengths[row : row + 1])
                for key in ("logits", "embedding"):
                    assert found[key].isfinite().all()
                    torch.testing.assert_close(found[key][0], together[key][row], rtol=0.0, atol=1e-5)


@each_model
def test_it_begins_with_the_encoders_weights(name: str) -> None:
    weights, own = encoder(name).backbone.model.state_dict(), student(name).backbone.model.state_dict()
    assert not [key for key in own if "layers.2." in key.replace("conv_layers", "")]
    assert sum(value.numel() for value in own.values()) < sum(value.numel() for value in weights.values())
    for key, value in own.items():
        assert torch.equal(value, weights[key]), key


@each_model
def test_it_is_rebuilt_without_its_encoder(name: str, tmp_path: Path) -> None:
    model = student(name, depth=3, convolutions=0)
    students.save_weights(model, tmp_path / "model.safetensors")
    plain = json.loads(json.dumps(students.arguments_dict(model.arguments)))
    arguments = students.arguments_from({**plain, "encoder": "/nowhere"}, architecture="distil")
    again = students.build(arguments, classes=3).eval()
    students.load_weights(again, tmp_path / "model.safetensors")
    heard = clips(9_000, 7_000)
    with torch.inference_mode():
        assert torch.equal(again(*heard)["logits"], model(*heard)["logits"])


@each_model
@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0])
def test_gradient_of_the_convolutions_is_scaled(name: str, factor: float) -> None:
    gradients = []
    for convolutions in (1.0, factor):
        model = student(name, convolutions=convolutions)
        model(*clips(9_000, 9_000))["logits"].square().sum().backward()
        gradients.append({key: weight.grad for key, weight in model.named_parameters()})
    for key, whole in gradients[0].items():
        found = gradients[1][key]
        if "embed_positions" in key:
            assert whole is None  # Whisper's are fixed
        elif "feature_extractor" in key or "conv1" in key or "conv2" in key:
            assert found is None if factor == 0.0 else torch.allclose(found, factor * whole)
        else:
            assert torch.equal(found, whole), key


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 4}, "student.arguments.depth: must be 2, 3 or 6, not 4"),
        ({"depth": 6}, "has 3 layers, not 6"),
        ({"encoder": ""}, "student.arguments.encoder: name the encoder whose first layers the student is"),
        ({"convolutions": 2}, "student.arguments.convolutions: must be from 0 to 1, not 2.0"),
        ({"mels": 64}, "unknown recipe key student.arguments.mels"),
    ],
)
def test_wrong_arguments_name_the_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        student("whisper", **values)
    assert message in str(caught.value)


def test_a_clip_longer_than_the_position_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r"this student hears 2 s at once; lower export\.clip_seconds"):
        student("whisper")(*clips(32_001))

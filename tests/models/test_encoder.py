import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from safetensors.torch import load_file, save_file  # noqa: E402
from torch.nn.utils.rnn import pad_sequence  # noqa: E402
from transformers.models.whisper.modeling_whisper import WhisperEncoder  # noqa: E402

from sercli.errors import BundleError, ModelNotFoundError, RecipeError, SercliError  # noqa: E402
from sercli.models.encoder import Encoded, Encoder, EncoderSource, load_encoder  # noqa: E402
from sercli.models.waveform_encoder import standardise  # noqa: E402
from tests import tiny_encoders  # noqa: E402

RATE = 16_000
WAVEFORM = {**tiny_encoders.WAVEFORM, "layerdrop": 0.9, "mask_time_prob": 0.9, "vocab_size": 5}
LARGE = {**WAVEFORM, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER = {**tiny_encoders.WHISPER, "num_mel_bins": 80, "encoder_layerdrop": 0.9, "dropout": 0.5}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Model", WAVEFORM),
    "wav2vec2-large": ("Wav2Vec2Model", LARGE),
    "hubert": ("HubertModel", WAVEFORM),
    "hubert-large": ("HubertModel", LARGE),
    "hubert-batch-norm": ("HubertModel", {**LARGE, "conv_pos_batch_norm": True}),
    "wavlm": ("WavLMModel", WAVEFORM),
    "wavlm-large": ("WavLMModel", LARGE),
    "data2vec-audio": ("Data2VecAudioModel", {**WAVEFORM, **tiny_encoders.DATA2VEC}),
    "unispeech": ("UniSpeechModel", LARGE),
    "unispeech-sat": ("UniSpeechSatModel", LARGE),
    "whisper": ("WhisperModel", WHISPER),
}
"""Name to transformers' class and a tiny random configuration; bases normalise over time, larges over channels."""

Build = Callable[..., Path]


def save(folder: Path, class_name: str, config: dict[str, Any], **options: Any) -> Any:
    model_class: Any = WhisperEncoder if class_name == "WhisperEncoder" else getattr(transformers, class_name)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases are zero in a new model, and would hide leaks
    model.save_pretrained(folder, **options)
    if not class_name.startswith("Whisper"):
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny model by name, made once; not to be changed by a test."""
    home = tmp_path_factory.mktemp("encoders")

    def folder(name: str) -> Path:
        if not (home / name).is_dir():
            save(home / name, *MODELS[name])
        return home / name

    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Folder of a tiny wav2vec 2.0 that a test may damage."""
    save(tmp_path / "own", *MODELS["wav2vec2-large"])
    return tmp_path / "own"


def load(folder: Path) -> Encoder:
    return load_encoder(EncoderSource(str(folder)))


def clip(samples: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((0.3 + rng.normal(0.0, 0.1, samples)).astype(np.float32))  # an offset, to be removed


def encode(encoder: Encoder, *clips: torch.Tensor) -> Encoded:
    with torch.no_grad():
        return encoder(pad_sequence(clips, batch_first=True), torch.tensor([len(each) for each in clips]))


def refusal(error: type[SercliError], call: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", MODELS)
def test_facts_and_shapes(saved: Callable[[str], Path], name: str) -> None:
    encoder = load(saved(name))
    assert name.startswith(encoder.family)
    assert (encoder.layers, encoder.width, encoder.frame_rate, encoder.revision) == (3, 16, 50.0, "")
    assert encoder.parameter_count == sum(weight.numel() for weight in encoder.parameters())
    encoded = encode(encoder, clip(RATE), clip(8_000, seed=1))
    assert encoded.counts.dtype == torch.int64
    assert encoded.counts.tolist() == ([50, 25] if name == "whisper" else [49, 24])
    assert len(encoded.states) == 4
    for state in encoded.states:
        assert state.shape == (2, int(encoded.counts[0]), 16)
        assert state.isfinite().all()
        assert state[1, int(encoded.counts[1]) - 1].any()
        assert not state[1, int(encoded.counts[1]) :].any()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "whisper"])
def test_states_are_transformers_own(saved: Callable[[str], Path], name: str) -> None:
    extractor = transformers.AutoFeatureExtractor.from_pretrained(saved(name))
    waveform = clip(7_777)
    values = extractor(waveform.numpy(), sampling_rate=RATE, return_tensors="pt").input_values
    model = transformers.AutoModel.from_pretrained(saved(name)).eval()
    with torch.no_grad():
        expected = model(values, output_hidden_states=True)
    found = encode(load(saved(name)), waveform).states
    for state, hidden in zip(found, (*expected.hidden_states[:-1], expected.last_hidden_state), strict=True):
        torch.testing.assert_close(state, hidden, rtol=0.0, atol=1e-4)


def test_whisper_states_are_transformers_own_on_a_clip_that_fills_its_positions(saved: Callable[[str], Path]) -> None:
    extractor = transformers.WhisperFeatureExtractor(chunk_length=2)
    waveform = clip(2 * RATE - 250)  # the extractor mirrors what ends in its last window, sercli has zeros there
    features = extractor(waveform.numpy(), sampling_rate=RATE, return_tensors="pt").input_features
    model = transformers.WhisperModel.from_pretrained(saved("whisper")).encoder.eval()
    with torch.no_grad():
        expected = model(features, output_hidden_states=True).hidden_states
    for state, hidden in zip(encode(load(saved("whisper")), waveform).states, expected, strict=True):
        torch.testing.assert_close(state, hidden, rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("samples", [320, 5_000, 12_345])
def test_whisper_log_mel_is_the_feature_extractors(saved: Callable[[str], Path], samples: int) -> None:
    waveform = clip(samples)
    features = transformers.WhisperFeatureExtractor()(waveform.numpy(), sampling_rate=RATE, return_tensors="pt")
    frames = 2 * -(-samples // 320)
    padded = torch.nn.functional.pad(waveform, (0, 160 * frames - samples))[None]
    found = load(saved("whisper")).backbone.log_mel(padded, torch.tensor([frames]))
    torch.testing.assert_close(found, features.input_features[:, :, :frames], rtol=0.0, atol=1e-4)


def test_standardise_is_the_feature_extractors() -> None:
    clips = [clip(5_000), clip(3_000, seed=1)]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = extractor(
        [each.numpy() for each in clips],
        sampling_rate=RATE,
        return_tensors="pt",
        padding=True,
        return_attention_mask=True,
    )
    found = standardise(pad_sequence(clips, batch_first=True), torch.tensor([5_000, 3_000]))
    torch.testing.assert_close(found, expected.input_values, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_neighbours_and_padding_do_not_matter(saved: Callable[[str], Path], name: str) -> None:
    encoder = load(saved(name))
    clips = [clip(samples, seed=samples) for samples in (6_400, 11_111, 6_400, 300)]
    together = encode(encoder, *clips)
    with torch.no_grad():
        wide = torch.nn.functional.pad(clips[0], (0, 9_000))[None]
        padded = encoder(wide, torch.tensor([6_400]))
    for row, each in enumerate(clips):
        alone = encode(encoder, each)
        frames = int(alone.counts[0])
        assert int(together.counts[row]) == frames
        for layer in range(4):
            torch.testing.assert_close(together.states[layer][row, :frames], alone.states[layer][0], rtol=0, atol=1e-4)
            if row == 0:
                torch.testing.assert_close(padded.states[layer], alone.states[layer], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm-large", "whisper"])
@pytest.mark.parametrize("samples", [1, 319, 399])
def test_a_clip_shorter_than_a_frame_is_padded_to_one(saved: Callable[[str], Path], name: str, samples: int) -> None:
    encoded = encode(load(saved(name)), clip(samples))
    assert encoded.counts.tolist() == [2 if name == "whisper" and samples > 320 else 1]
    assert all(state.isfinite().all() for state in encoded.states)


def test_whisper_cuts_a_long_clip_into_equal_pieces(saved: Callable[[str], Path]) -> None:
    encoder, long, short = load(saved("whisper")), clip(5 * RATE + 7), clip(RATE, seed=1)  # room for 2 s
    whole = encode(encoder, long, short)
    assert whole.counts.tolist() == [251, 50]
    pieces = [encode(encoder, piece) for piece in long.split(84 * 320)]
    assert [int(piece.counts[0]) for piece in pieces] == [84, 84, 83]
    alone = encode(encoder, short)
    for layer in range(4):
        expected = torch.cat([piece.states[layer][0] for piece in pieces])
        torch.testing.assert_close(whole.states[layer][0], expected, rtol=0.0, atol=1e-4)
        torch.testing.assert_close(whole.states[layer][1, :50], alone.states[layer][0], rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm-large", "whisper"])
def test_half_precision_gives_float32_states_close_by(saved: Callable[[str], Path], name: str) -> None:
    encoder, clips = load(saved(name)), (clip(8_000), clip(5_000, seed=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encode(encoder, *clips)
    for state, exact in zip(half.states, encode(encoder, *clips).states, strict=True):
        assert state.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(state.flatten(), exact.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_sha256_is_of_the_weights_not_of_the_files(tmp_path: Path, name: str) -> None:
    model = save(tmp_path / "whole", *MODELS[name])
    save(tmp_path / "sharded", *MODELS[name], max_shard_size="4KB")
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 2
    known = load(tmp_path / "whole").sha256
    assert load(tmp_path / "whole").sha256 == load(tmp_path / "sharded").sha256 == known
    with torch.no_grad():
        model.encoder.layers[1].get_parameter("final_layer_norm.weight")[3] += 1e-3
    model.save_pretrained(tmp_path / "whole")
    assert load(tmp_path / "whole").sha256 != known


@pytest.mark.parametrize("class_name", ["WhisperForConditionalGeneration", "WhisperEncoder"])
def test_a_whisper_of_any_extent_gives_the_same_encoder(tmp_path: Path, class_name: str) -> None:
    save(tmp_path / "bare", "WhisperEncoder", WHISPER)
    other = save(tmp_path / "other", class_name, WHISPER)
    body = getattr(getattr(other, "model", other), "encoder", other)
    body.load_state_dict(load_file(tmp_path / "bare" / "model.safetensors"))
    other.save_pretrained(tmp_path / "other")
    assert load(tmp_path / "other").sha256 == load(tmp_path / "bare").sha256


def test_heads_are_passed_over_and_old_weight_names_are_known(tmp_path: Path) -> None:
    head = save(tmp_path / "head", "Wav2Vec2ForCTC", LARGE)
    head.wav2vec2.save_pretrained(tmp_path / "bare")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "bare")
    known = load(tmp_path / "bare").sha256
    assert load(tmp_path / "head").sha256 == known
    weights = load_file(tmp_path / "head" / "model.safetensors")
    new, old = "parametrizations.weight.original", ("weight_g", "weight_v")
    assert sum(new in key for key in weights) == 2
    renamed = {key.replace(f"{new}0", old[0]).replace(f"{new}1", old[1]): value for key, value in weights.items()}
    del renamed["wav2vec2.masked_spec_embed"]  # only used in pretraining, and missing in many a checkpoint
    save_file(renamed, tmp_path / "head" / "model.safetensors", metadata={"format": "pt"})
    assert load(tmp_path / "head").sha256 == known


def damage_weights(folder: Path, what: str) -> None:
    path = folder / "model.safetensors"
    weights, key = load_file(path), "encoder.layers.1.attention.k_proj.weight"
    if what == "missing":
        del weights[key]
    elif what == "unexpected":
        weights["wav2vec2.encoder.layers.3.attention.k_proj.weight"] = weights[key].clone()
    elif what == "of another shape":
        weights[key] = torch.zeros(8, 16)
    save_file(weights, path, metadata={"format": "pt"})
    if what == "corrupt":
        path.write_bytes(path.read_bytes()[:1_000])
    elif what == "pickled":
        path.unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    elif what in ("shard lost", "shard pickled"):
        path.unlink()
        shard = "model-00001-of-00001.safetensors" if what == "shard lost" else "pytorch_model.bin"
        torch.save(weights, folder / "pytorch_model.bin")
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights, shard)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "weights missing encoder.layers.1.attention.k_proj.weight; random weights"),
        ("unexpected", "weights unexpected wav2vec2.encoder.layers.3.attention.k_proj.weight;"),
        ("of another shape", "encoder.layers.1.attention.k_proj.weight (8, 16), not (16, 16)"),
        ("corrupt", "cannot load the weights"),
        ("pickled", "pickled weights (pytorch_model.bin) are never loaded"),
        ("shard lost", "no safetensors model-00001-of-00001.safetensors"),
        ("shard pickled", "no safetensors pytorch_model.bin"),
    ],
)
def test_weights_that_do_not_fit_are_refused(own: Path, what: str, message: str) -> None:
    damage_weights(own, what)
    assert message in refusal(BundleError, lambda: load(own))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "bert"}, "a 'bert' model, not a speech encoder; choose one of wav2vec2"),
        ("config.json", {"model_type": None}, "without a model_type"),
        ("config.json", {"hidden_size": "wide"}, "not a configuration of wav2vec2"),
        ("config.json", None, "does not exist"),
        ("preprocessor_config.json", {"sampling_rate": 8_000}, "a model for 8000 Hz"),
        ("preprocessor_config.json", None, "sampling_rate and do_normalize"),
    ],
)
def test_a_folder_that_is_no_speech_encoder_is_refused(
    own: Path, file: str, changes: dict[str, Any] | None, message: str
) -> None:
    if changes is None:
        (own / file).unlink()
    else:
        (own / file).write_text(json.dumps(json.loads((own / file).read_text()) | changes))
    assert message in refusal(BundleError, lambda: load(own))


def test_loading_is_silent_and_tells_the_licence(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert load(own).licence == ""
    (own / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    capfd.readouterr()
    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    assert load(own).licence == "mit"
    assert capfd.readouterr() == ("", "")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == (verbosity, bars)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache, empty, with the network switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.parametrize("revision", ["main", "a" * 40])
def test_a_hub_id_is_taken_from_the_cache_and_pinned(
    hub_cache: Path, saved: Callable[[str], Path], revision: str
) -> None:
    repository = hub_cache / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("a" * 40)).symlink_to(saved("hubert"))
    encoder = load_encoder(EncoderSource("someone/tiny", revision))
    assert (encoder.name, encoder.revision) == ("someone/tiny", "a" * 40)
    assert encoder.sha256 == load(saved("hubert")).sha256


@pytest.mark.parametrize(
    ("name", "revision", "error", "message"),
    [
        ("someone/tiny", "main", ModelNotFoundError, "HF_HUB_OFFLINE is set"),
        ("someone/tiny", "", RecipeError, "needs a revision"),
        ("./nowhere", "", ModelNotFoundError, "no such folder"),
        ("some one/tiny", "main", ModelNotFoundError, "neither a folder nor a Hub id"),
    ],
)
@pytest.mark.usefixtures("hub_cache")
def test_a_model_that_cannot_be_found(name: str, revision: str, error: type[SercliError], message: str) -> None:
    assert message in refusal(error, lambda: load_encoder(EncoderSource(name, revision)))


def test_a_folder_has_no_revision(saved: Callable[[str], Path]) -> None:
    source = EncoderSource(str(saved("hubert")), "main")
    assert "leave the revision empty" in refusal(RecipeError, lambda: load_encoder(source))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatedRepoError", "grants access by request"),
        ("RepositoryNotFoundError", "no such model"),
        ("RevisionNotFoundError", "no revision 'main'"),
        ("HfHubHTTPError", "cannot be reached (503 Service Unavailable)"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, kind: str, message: str) -> None:
    import huggingface_hub

    def refuse(*arguments: Any, **options: Any) -> str:
        response: Any = SimpleNamespace(headers={}, request=None)
        raise getattr(huggingface_hub.errors, kind)("503 Service Unavailable\nfor a url", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    source = EncoderSource("someone/tiny", "main")
    assert message in refusal(ModelNotFoundError, lambda: load_encoder(source))


def trained_parts(encoder: Encoder) -> set[str]:
    """Names of the weights that a backward pass through all states reaches."""
    encoder.zero_grad(set_to_none=True)
    encoded = encoder(torch.stack([clip(8_000), clip(8_000, seed=1)]), torch.tensor([8_000, 6_000]))
    if not encoded.states[-1].requires_grad:
        return set()
    sum((state * torch.randn_like(state)).sum() for state in encoded.states).backward()
    return {name for name, weight in encoder.named_parameters() if weight.grad is not None and weight.grad.any()}


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm-large", "data2vec-audio", "whisper"])
def test_gradients_reach_what_is_trained_and_nothing_else(saved: Callable[[str], Path], name: str) -> None:
    encoder = load(saved(name)).train()
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert trained_parts(encoder) == set()
    root = "backbone.model.layers" if name == "whisper" else "backbone.model.encoder.layers"

    encoder.unfreeze(1)
    reached = trained_parts(encoder)
    wanted = {part for part, weight in encoder.named_parameters() if weight.requires_grad}
    assert {part.removeprefix(f"{root}.")[0] for part in reached if part.startswith(root)} == {"2"}
    assert reached <= wanted
    assert any("layer_norm" in part and not part.startswith(root) for part in wanted) == (
        name in ("wavlm-large", "whisper")
    )

    encoder.unfreeze(-1)
    reached = trained_parts(encoder)
    assert {part.removeprefix(f"{root}.")[0] for part in reached if part.startswith(root)} == {"0", "1", "2"}
    assert not any("conv1" in part or "conv2" in part or "feature_extractor" in part for part in reached)
    assert not any("embed_positions" in part for part in reached)

    encoder.unfreeze(-1, convolutions=True)
    assert any("conv1" in part or "feature_extractor" in part for part in trained_parts(encoder))

    encoder.freeze()
    assert trained_parts(encoder) == set()


@pytest.mark.parametrize("name", ["wav2vec2-large", "whisper"])
def test_only_the_trained_part_drops_out(saved: Callable[[str], Path], name: str) -> None:
    encoder, waveform, lengths = load(saved(name)).train(), clip(8_000)[None], torch.tensor([8_000])

    def moved() -> list[bool]:
        with torch.no_grad():
            first, second = encoder(waveform, lengths), encoder(waveform, lengths)
        return [not torch.equal(a, b) for a, b in zip(first.states, second.states, strict=True)]

    assert encoder.training
    assert moved() == [False] * 4
    encoder.unfreeze(1)
    assert moved() == [False] * 3 + [True]
    encoder.unfreeze(2)
    assert moved() == [False] * 2 + [True] * 2
    twin = copy.deepcopy(encoder)
    assert twin.eval().training is False
    assert moved() == [False] * 2 + [True] * 2
    encoder.eval()
    assert moved() == [False] * 4


@pytest.mark.parametrize("top_layers", [1, 2, -1])
@pytest.mark.parametrize("name", MODELS)
def test_split_at_a_layer_it_is_the_same_encoder(saved: Callable[[str], Path], name: str, top_layers: int) -> None:
    encoder = load(saved(name))
    encoder.unfreeze(top_layers)
    encoder.eval()
    samples = (41_000, 20_000) if name == "whisper" else (9_000, 5_000)  # Whisper's table ends after 2 s
    clips = [clip(each, seed) for seed, each in enumerate(samples)]
    whole = encode(encoder, *clips)
    with torch.no_grad():
        below = encoder.below(pad_sequence(clips, batch_first=True), torch.tensor(samples))
        above = encoder.above(below.states[0], below.counts)
    cut = 0 if top_layers == -1 else 3 - top_layers
    assert (encoder.cut, len(below.states), len(above.states)) == (cut, 1, 4 - cut)
    assert above.counts.tolist() == whole.counts.tolist()
    for found, expected in zip(above.states, whole.states[cut:], strict=True):
        torch.testing.assert_close(found, expected, rtol=0.0, atol=2e-5)


@pytest.mark.parametrize(("layers", "convolutions"), [(4, False), (-2, False), (2, True)])
def test_more_layers_than_there_are_cannot_be_trained(
    saved: Callable[[str], Path], layers: int, convolutions: bool
) -> None:
    encoder = load(saved("hubert"))
    assert "train" in refusal(RecipeError, lambda: encoder.unfreeze(layers, convolutions))


def test_true_length_stays_close_to_thirty_seconds_of_padding(real_data: Path) -> None:
    home = os.environ.get("SERCLI_WEIGHTS")
    if not home or not (Path(home) / "whisper-tiny").is_dir():
        pytest.skip("SERCLI_WEIGHTS does not name a folder with whisper-tiny")
    from sercli import audio

    folder = Path(home) / "whisper-tiny"
    encoder, extractor = load(folder), transformers.WhisperFeatureExtractor.from_pretrained(folder)
    padded = transformers.WhisperModel.from_pretrained(folder, dtype=torch.float32).encoder.eval()
    found = []
    for path in sorted((real_data / "ravdess").rglob("*.flac"))[::480]:
        waveform = torch.from_numpy(audio.read_audio(path))
        features = extractor(waveform.numpy(), sampling_rate=RATE, return_tensors="pt").input_features
        with torch.no_grad():
            expected = padded(features, output_hidden_states=True).hidden_states
        found.append(
            [
                torch.cosine_similarity(state[0], hidden[0, : state.shape[1]], dim=1).mean()
                for state, hidden in zip(encode(encoder, waveform).states, expected, strict=True)
            ]
        )
    means = torch.tensor(found).mean(dim=0)
    assert len(found) == 3
    assert means[0] > 0.999
    assert means[1:4].min() > 0.95
    assert means[4] > 0.85

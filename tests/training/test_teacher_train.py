"""Teachers trained by `sercli train`: a head on an encoder of random weights that hears synthesised voices."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from commands import sercli, trained, written  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from voices import TINY, write_corpus  # noqa: E402

from sercli.corpora.speech import read_utterance  # noqa: E402
from sercli.corpora.table import read_table  # noqa: E402
from sercli.evaluation.model import open_model  # noqa: E402
from sercli.models.encoder import EncoderSource, load_encoder  # noqa: E402
from sercli.training import teacher, teacher_answers  # noqa: E402
from sercli.training.neighbour_embeddings import source_embeddings  # noqa: E402
from sercli.training.recipe_graph import GraphPart  # noqa: E402
from sercli.training.recipe_teacher import EncoderPart  # noqa: E402
from sercli.training.trainee import Trainee  # noqa: E402
from tests.tiny_encoders import DATA2VEC, WAVEFORM, WHISPER  # noqa: E402

STEPS_A_EPOCH = 3  # 36 training clips in batches of 12
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Model", WAVEFORM),
    "hubert": ("HubertModel", WAVEFORM),
    "wavlm": ("WavLMModel", WAVEFORM),
    "data2vec-audio": ("Data2VecAudioModel", DATA2VEC),
    "unispeech": ("UniSpeechModel", WAVEFORM),
    "unispeech-sat": ("UniSpeechSatModel", WAVEFORM),
    "whisper": ("WhisperModel", WHISPER),
}
TEACHER = """
name: tiny
corpus: {{labels: iemocap4, sources: [{{name: {table}}}]}}
split: {{dev_speakers: {{voices: [s5, s6]}}}}
encoder: {{name: {encoder}, layers: [1, 2, 3]}}
head: {{pooling: statistics, hidden: 16, dropout: 0, attention: 4}}
optim: {{epochs: 3, batch: 12, lr: 2e-2, average: 0.5, patience: 0}}
"""


def save(folder: Path, family: str, seed: int = 0) -> Path:
    class_name, config = FAMILIES[family]
    model_class: Any = getattr(transformers, class_name)
    torch.manual_seed(seed)
    model = model_class(model_class.config_class(**config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # a new model's are so small that little gets through
    model.save_pretrained(folder)
    if family != "whisper":
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny encoder by family, made once."""
    home = tmp_path_factory.mktemp("encoders")
    return lambda family: home / family if (home / family).exists() else save(home / family, family)


@pytest.fixture
def recipe(tmp_path: Path, saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    table = write_corpus(tmp_path / "voices")
    file = tmp_path / "teacher.yaml"
    file.write_text(TEACHER.format(table=table, encoder=saved("whisper")), encoding="utf-8")
    return file


def nothing(*_: Any) -> Any:
    pytest.fail("the cache has it")


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Press Ctrl-C after so many optimiser steps."""
    update, seen = Trainee.update_average, [0]

    def counted(self: Any) -> None:
        update(self)
        seen[0] += 1
        if seen[0] == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainee, "update_average", counted)


@pytest.mark.parametrize("pooling", ["mean", "statistics", "attentive"])
def test_a_frozen_encoder_hears_every_clip_once(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    options = (f"head.pooling={pooling}", "optim.epochs=12")
    out = trained(capsys, recipe, *options, "-o", tmp_path / "run")
    assert re.fullmatch(r"tiny: development UA \d+\.\d\d, WA \d+\.\d\d, 18 clips\n", out)
    metrics, checkpoint = written(tmp_path / "run"), written(tmp_path / "run", "checkpoint")
    assert metrics["dev"]["ua"] > 60  # of three classes that a child could tell apart; chance is 33
    assert set(metrics["layer_weights"]) == {"1", "2", "3"}
    assert sum(metrics["layer_weights"].values()) == pytest.approx(1.0, abs=1e-3)
    assert len(set(metrics["layer_weights"].values())) > 1, "the mix is learned"
    assert (checkpoint["architecture"], checkpoint["encoder"]["layers"]) == ("encoder-head", [1, 2, 3])
    assert checkpoint["temperature"] > 0
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(name.startswith("head.") for name in weights), "no frozen weight is kept"
    learned = sum(value.numel() for name, value in weights.items() if "norm." not in name)
    assert checkpoint["trained_parameters"] == learned
    assert checkpoint["parameters"] > 5 * learned

    monkeypatch.setattr(teacher, "pooled_states", nothing)
    monkeypatch.setattr(teacher, "frame_states", nothing)
    assert trained(capsys, recipe, *options, "-o", tmp_path / "second") == out
    again = load_file(tmp_path / "second" / "model.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in weights.items())


@pytest.mark.parametrize("pooling", ["statistics", "attentive"])
@pytest.mark.parametrize("layers", [0, 1])
def test_a_run_folder_answers_as_in_training(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pooling: str, layers: int
) -> None:
    options = (f"head.pooling={pooling}", f"encoder.trained_layers={layers}")
    trained(capsys, recipe, *options, "-o", tmp_path / "run")
    table = tmp_path / "voices" / "voices.csv"
    model, metrics = open_model(tmp_path / "run"), written(tmp_path / "run")
    held_out = sorted((u for u in read_table(table) if u.speaker in {"s5", "s6"}), key=lambda u: u.path)
    outputs = [model.student.outputs(read_utterance(utterance)) for utterance in held_out]
    said = [int(probabilities.argmax()) for probabilities, _ in outputs]
    assert said == metrics["dev"]["predictions"]
    embeddings = source_embeddings(GraphPart(model=str(tmp_path / "run")), held_out, quiet=True)  # of a graph, for nsl
    np.testing.assert_allclose(embeddings, [embedding for _, embedding in outputs], rtol=0.02, atol=0.02)
    assert len(set(said)) > 1
    code, out, err = sercli(capsys, "eval", tmp_path / "run", "--table", table)
    assert code == 0, err
    assert "SEEN" in out + err
    code, _, err = sercli(capsys, "export", tmp_path / "run", "-o", tmp_path / "bundle")
    assert code == 1
    assert "a teacher, far too large for a bundle" in err


def test_states_of_a_frozen_encoder_make_a_graph(recipe: Path, saved: Callable[[str], Path], tmp_path: Path) -> None:
    clips = read_table(tmp_path / "voices" / "voices.csv")[:4]
    part = EncoderPart(str(saved("whisper")), layers=(1, 3))
    heard = teacher.hear(part, "mean", clips, quiet=True)
    found = source_embeddings(GraphPart(encoder=part), clips, quiet=True)
    np.testing.assert_array_equal(found, heard.pooled.reshape(4, -1))
    assert found.shape == (4, 2 * heard.pooled.shape[2])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_top_layer_is_trained_and_nothing_below(
    recipe: Path, saved: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    folder = saved(family)
    options = (f"encoder.name={folder}", "encoder.trained_layers=1", "encoder.lr=1e-3", "optim.epochs=1")
    trained(capsys, recipe, *options, "augment.gain_db=6", "augment.mixup_alpha=0.3", "-o", tmp_path / "run")
    before = load_encoder(EncoderSource(str(folder)))
    before.unfreeze(1)
    start = {f"encoder.{name}": value for name, value in before.named_parameters() if value.requires_grad}
    kept = load_file(tmp_path / "run" / "model.safetensors")
    assert {name for name in kept if not name.startswith("head.")} == set(start)
    moved = [name for name, value in start.items() if not torch.equal(kept[name], value.detach())]
    assert len(moved) > len(start) / 2  # a bias of keys has no gradient at all
    assert load_encoder(EncoderSource(str(folder))).sha256 == before.sha256
    checkpoint = written(tmp_path / "run", "checkpoint")
    learned = sum(value.numel() for name, value in kept.items() if "head.norm." not in name)
    assert checkpoint["trained_parameters"] == learned

    # in the checkpoints of the run, too, stands only what is trained
    (state,) = (tmp_path / "run").glob(f"checkpoint-{STEPS_A_EPOCH}/model.safetensors")
    names = {name.removeprefix("network.").removeprefix("average.") for name in load_file(state)}
    assert {name for name in names if name.startswith("encoder.")} == set(start)


def test_encoder_and_head_have_learning_rates_of_their_own(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("encoder.trained_layers=-1", "encoder.lr=1e-9", "optim.epochs=1")
    trained(capsys, recipe, *options, "-o", tmp_path / "run")
    kept = load_file(tmp_path / "run" / "model.safetensors")
    name = written(tmp_path / "run", "checkpoint")["encoder"]["name"]
    start = dict(load_encoder(EncoderSource(name)).named_parameters())
    encoder = {key: value for key, value in kept.items() if key.startswith("encoder.")}
    assert len(encoder) > 40
    assert not any(".conv" in key for key in encoder), "the convolutions stay frozen"
    for key, value in encoder.items():
        torch.testing.assert_close(value, start[key.removeprefix("encoder.")].detach(), rtol=0.0, atol=1e-6)
    assert kept["head.mix.scores"].abs().max() > 1e-3


@pytest.mark.parametrize("layers", [0, 1])
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    options = (f"encoder.trained_layers={layers}", "encoder.lr=1e-3", "optim.epochs=4", "augment.mixup_alpha=0.3")
    whole = trained(capsys, recipe, *options, "-o", tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2 * STEPS_A_EPOCH + 2)
        assert sercli(capsys, "train", recipe, *options, "-o", tmp_path / "run", "-q")[0] == 130
    assert not (tmp_path / "run" / "checkpoint.json").exists()
    assert trained(capsys, recipe, *options, "-o", tmp_path / "run", "--resume") == whole
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "whole"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0.0, atol=1e-6, msg=name)


def test_gender_and_ratings_are_learned_where_they_are_known(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gender follows the pitch here, and arousal the class; a third of the clips say neither."""
    table = tmp_path / "voices" / "voices.csv"
    head, *rows = table.read_text().splitlines()
    kinds = {"happy": "f,0.9,0.8", "sad": "m,0.1,0.2", "angry": ",,"}
    table.write_text(
        "\n".join([f"{head},gender,arousal,valence", *(f"{row},{kinds[row.split(',')[3]]}" for row in rows)])
    )
    outputs = "outputs={gender: 0.5, dimensions: 1}"
    trained(capsys, recipe, outputs, "optim.epochs=24", "optim.batch=32", "-o", tmp_path / "run")
    metrics = written(tmp_path / "run")
    assert metrics["dev"]["gender"]["ua"] > 80
    assert metrics["dev"]["gender"]["clips"] == 12
    assert metrics["dev"]["dimensions"]["arousal"] > 0.6
    assert metrics["dev"]["dimensions"].keys() == {"arousal", "valence", "clips"}, "nobody rated dominance"
    last = metrics["history"][-1]
    assert last["loss"] == pytest.approx(last["loss_ce"] + last["loss_gender"] + last["loss_dimensions"], rel=0.02)
    student = open_model(tmp_path / "run").student
    assert student.config.heads == {"logits": 4, "gender": 2, "dimensions": 3}
    scores, _, dimensions = student.outputs(np.zeros(8_000, np.float32) + 0.1)
    assert (scores.shape, dimensions.shape) == ((4,), (3,))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augment.speed=0.1", "augment.speed: the states of a frozen encoder are computed once, of clips as they are"),
        (
            "augment.noise={kinds: [white], probability: 0.1}",
            "augment.noise.probability: the states of a frozen",
        ),
        ("head.pooling=max", "head.pooling: must be one of mean, statistics, attentive, not 'max'"),
        ("head={hiden: 3}", "unknown recipe key head.hiden; did you mean head.hidden?"),
        ("outputs={genders: 1.0}", "outputs.genders: no such output; did you mean gender?"),
        ("outputs={gender: 0}", "outputs.gender: must be above 0, the weight of its loss, not 0"),
        ("outputs={gender: 1}", "outputs.gender: known of no training clip"),
        ("encoder.layers=[4]", "encoder.layers: "),
        ("encoder.trained_layers=4", "cannot train the top 4 of 3 layers; -1 trains all"),
        ("encoder.convolutions=true", "encoder.convolutions: must be false unless encoder.trained_layers is -1"),
        ("encoder.name=/nowhere", "/nowhere"),
        ("encoder={}", "head: of a teacher that is trained; name its encoder"),
        ("student.size=nano", "student: the recipe names an encoder, so it trains a teacher"),
        ("teacher={students: [micro]}", "teacher: a teacher is trained with labels alone"),
        ("method={kd: {}}", "method.kd: a teacher learns from labels alone; leave ce only"),
    ],
)
def test_what_does_not_fit_is_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    code, out, err = sercli(capsys, "train", recipe, override, "-o", tmp_path / "run", "-q")
    assert (code, out) in {(1, ""), (2, "")}
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_other_weights_of_the_encoder_are_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = save(tmp_path / "own", "whisper")
    trained(capsys, recipe, f"encoder.name={own}", "optim.epochs=1", "-o", tmp_path / "run")
    save(own, "whisper", seed=1)
    table = tmp_path / "voices" / "voices.csv"
    code, _, err = sercli(capsys, "eval", tmp_path / "run", "--table", table)
    assert code == 1
    assert re.search(r"trained on other weights of \S+ \(sha256 [0-9a-f]{12}, not [0-9a-f]{12}\)", err)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_trained_teacher_teaches_whom_it_has_not_heard(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    corpus = tmp_path / "student.yaml"
    corpus.write_text(TINY.format(table=tmp_path / "voices" / "voices.csv"), encoding="utf-8")
    trained(capsys, recipe, f"encoder.trained_layers={layers}", "-o", tmp_path / "run")
    student = ("corpus.labels=iemocap4", "optim.epochs=1", "augment.mixup_alpha=0", "method={kd: {}}")
    taught = (*student, f"teacher={{students: [{tmp_path / 'run'}]}}")
    held = "split.dev_speakers={voices: [s1]}"
    code, _, err = sercli(capsys, "distill", corpus, *taught, held, "-o", tmp_path / "leak", "-q")
    assert code == 1
    assert "has heard voices/s1, whom this run holds out" in err

    code, _, err = sercli(capsys, "distill", corpus, *taught, "-o", tmp_path / "leak", "-q")
    assert code == 1, "it was selected on the development speakers"
    assert "has heard voices/s5" in err

    # another corpus of the same sounds: nobody of it was heard, and what is said of each clip is what the run says
    table = tmp_path / "others" / "others.csv"
    table.parent.mkdir()
    rows = (tmp_path / "voices" / "voices.csv").read_text().replace(",voices,", ",others,").splitlines()
    table.write_text("\n".join([rows[0], *(f"../voices/{row}" for row in rows[1:])]) + "\n")
    other = (f"corpus.sources=[{table}]", "split.dev_speakers={others: [s5, s6]}")
    code, _, err = sercli(capsys, "distill", corpus, *taught, *other, "-o", tmp_path / "student", "-q")
    assert code == 0, err
    facts = written(tmp_path / "student", "teacher")
    assert facts["ua"]["dev"] == written(tmp_path / "run")["dev"]["ua"]

    monkeypatch.setattr(teacher, "pooled_states", nothing)
    monkeypatch.setattr(teacher_answers, "_heard", nothing)
    code, _, err = sercli(capsys, "distill", corpus, *taught, *other, "-o", tmp_path / "again", "-q")
    assert code == 0, err

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import SPEAKERS

for package in ("torch", "torchaudio", "transformers", "accelerate", "sklearn", "onnx", "onnxscript"):
    pytest.importorskip(package, reason='needs the extra "train"')
pytest.importorskip("jsonschema", reason='needs the extra "dev"')

from metrics_schema import undated, valid  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.corpora import splits  # noqa: E402
from sercli.corpora.table import Utterance, read_table, write_table  # noqa: E402
from sercli.errors import CorpusError, LabelError, LeakError, OutputError, RecipeError, UsageError  # noqa: E402
from sercli.evaluation.grid import Grid  # noqa: E402
from sercli.evaluation.lines import lines, table  # noqa: E402
from sercli.evaluation.measure import Settings  # noqa: E402
from sercli.evaluation.model import open_model  # noqa: E402
from sercli.evaluation.results import write_results  # noqa: E402
from sercli.evaluation.run import Evaluation, compared_with_predictions, cross_validate, evaluate  # noqa: E402
from sercli.evaluation.task import table_sha256  # noqa: E402
from sercli.fields import from_dict  # noqa: E402
from sercli.labels import LABEL_SETS  # noqa: E402
from sercli.training.export import export  # noqa: E402
from sercli.training.recipe import Recipe  # noqa: E402
from sercli.training.recipe_file import dump_recipe  # noqa: E402
from tests.tiny import RATE  # noqa: E402
from tests.training.voices import CLASSES, voice  # noqa: E402

FEW = Settings(draws=50)
FAST = {
    "student": {"size": "nano", "arguments": {"stem": 8, "blocks": [[8, 2, 2], [12, 2, 1]], "frame_channels": 16}
                | {"context": 1, "attention": 8, "embedding": 8, "per_band": False}},
    "augment": {"trim_seconds": 0, "time_masks": 0, "mel_masks": 0},
    "optim": {"epochs": 5, "batch": 2, "lr": 1e-2, "patience": 0},
}  # fmt: skip
"""Of a recipe that learns the synthesised voices in a second."""
TWO_FOLDS = {
    "corpus": "voices",
    "label_set": "three",
    "source": "made up",
    "dev_rule": "the next speaker",
    "folds": [{"name": "b", "test": ["s1", "s2"], "dev": ["s3"]}, {"name": "a", "test": ["s4"], "dev": ["s1"]}],
}


RANDOM = {"corpus": "voices", "label_set": "three", "source": "made up", "dev_rule": "nobody", "by": "fifth"}
RANDOM_FOLDS = [{"name": name, "test": [name], "dev": []} for name in ("1", "2")]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with three small corpora, a protocol of two folds and a label set of their classes."""
    import torch

    folder = tmp_path_factory.mktemp("workshop")
    (folder / "folds").mkdir()
    (folder / "folds" / "voices-two.json").write_text(json.dumps(TWO_FOLDS))
    (folder / "folds" / "voices-random.json").write_text(json.dumps({**RANDOM, "folds": RANDOM_FOLDS}))
    write_voices(folder, "voices", SPEAKERS, without=("s4", "happy"))
    write_voices(folder, "murmurs", SPEAKERS[:3], seed=1)
    write_voices(folder, "shouts", SPEAKERS[:2], labels=("angry", "happy"), seed=2)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        torch.set_num_threads(1)
        patch.setattr(splits, "FOLDS", folder / "folds")
        patch.setitem(LABEL_SETS, "three", ("happy", "sad", "angry"))
        patch.setenv("SERCLI_CACHE", str(folder / "cache"))
        yield folder
        torch.set_num_threads(threads)


def write_voices(
    folder: Path,
    corpus: str,
    speakers: tuple[str, ...],
    labels: tuple[str, ...] = tuple(CLASSES),
    without: tuple[str, str] = ("", ""),
    seed: int = 0,
) -> None:
    """Write CORPUS.csv and two clips per speaker and class, but for a speaker's class that is left out."""
    (folder / corpus).mkdir()
    utterances = []
    for number, (speaker, emotion, clip) in enumerate((s, e, c) for s in speakers for e in labels for c in (1, 2)):
        if (speaker, emotion) != without:
            path = folder / corpus / f"{speaker}-{emotion}-{clip}.wav"
            soundfile.write(path, voice(emotion, 1_000 * seed + number), RATE)
            utterances.append(Utterance(str(path), corpus=corpus, speaker=speaker, emotion=emotion))
    write_table(utterances, folder / f"{corpus}.csv")


def recipe(folder: Path, *corpora: str, **split: Any) -> Recipe:
    sources = [str(folder / f"{corpus}.csv") for corpus in corpora]
    values = {"name": "tiny", "corpus": {"labels": "three", "sources": sources}, "split": split, **FAST}
    return from_dict(Recipe, values, "")


@pytest.fixture(scope="module")
def folds(workshop: Path) -> tuple[Path, Evaluation]:
    """Trained folds, not to be changed by a test, and what came of them."""
    place = workshop / "runs"
    notes: list[str] = []
    two = recipe(workshop, "voices", protocol="voices-two")
    found = cross_validate(two, place, None, Grid(("gain",)), FEW, quiet=True, note=notes.append)
    assert notes == [f"fold b: {place / 'fold-b'}", f"fold a: {place / 'fold-a'}"]
    return place, found


def test_every_fold_is_trained_and_tested(workshop: Path, folds: tuple[Path, Evaluation]) -> None:
    place, found = folds
    metrics = valid(found.metrics)
    assert [*metrics["folds"]] == ["b", "a"]
    first, second = metrics["folds"].values()
    assert (first["clips"], first["classes"], first["speakers"]) == (12, 3, ["voices/s1", "voices/s2"])
    assert (second["clips"], second["classes"]) == (4, 2)  # s4 is never happy, as one speaker of EmoDB shows no disgust
    assert metrics["figures"]["recall"]["happy"]["clips"] == 4
    assert metrics["figures"]["wa"]["value"] == pytest.approx((12 * first["wa"] + 4 * second["wa"]) / 16, abs=0.01)
    assert metrics["seen"]["status"] == "unseen"
    assert (metrics["development"], metrics["seed"]) == ("the next speaker", 0)
    model = metrics["model"]
    assert (model["kind"], model["id"], model["temperature"], [*model["sha256"]]) == ("recipe", "", None, ["b", "a"])
    assert model["recipe"]["optim"]["epochs"] == 5
    assert len(metrics["robustness"]["cells"]) == 4
    assert metrics["data"]["table_sha256"] == table_of(workshop, {"s1", "s2", "s4"})

    # pooled figures are of every clip by the model that has not heard its speaker
    answers = found.answers
    assert answers is not None
    for name, speakers in (("b", {"s1", "s2"}), ("a", {"s4"})):
        tested = [u for u in answers.task.utterances if u.speaker in speakers]
        model_of_fold = open_model(place / f"fold-{name}")
        alone = evaluate(model_of_fold, tested, settings=FEW).metrics
        assert (alone["seen"]["status"], alone["model"]["kind"]) == ("unseen", "run")
        assert alone["model"]["sha256"]["model.safetensors"] == model["sha256"][name]
        if name == "b":
            assert alone["figures"]["ua"]["value"] == metrics["folds"]["b"]["ua"]
        trained = json.loads((place / f"fold-{name}" / "metrics.json").read_text())["test"]
        assert metrics["folds"][name]["wa"] == trained["wa"]  # as the training run itself found


def table_of(folder: Path, speakers: set[str]) -> str:
    return table_sha256([u for u in read_table(folder / "voices.csv") if u.speaker in speakers])


def test_a_run_answers_as_its_network_does(folds: tuple[Path, Evaluation]) -> None:
    import torch

    from sercli.training.export import load_student

    place = folds[0] / "fold-b"
    checkpoint = json.loads((place / "checkpoint.json").read_text())
    clip = voice("sad", 77)
    with torch.inference_mode():
        found = load_student(place, checkpoint)(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
    scores = torch.softmax(found["logits"][0].double() / checkpoint["temperature"], 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with open_model(place).answering() as student:
        assert torch.get_num_threads() == 1  # in each of the threads that answer
        prediction = student.predict(clip, RATE, threshold=0.0)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert [*prediction.scores.values()] == pytest.approx(scores.tolist(), abs=1e-6)
    np.testing.assert_allclose(prediction.embedding, found["embedding"][0].numpy(), atol=1e-6)


def test_finished_folds_are_kept_when_resuming(workshop: Path, folds: tuple[Path, Evaluation]) -> None:
    place, found = folds
    two = recipe(workshop, "voices", protocol="voices-two")
    files = [place / f"fold-{name}" / "model.safetensors" for name in "ba"]
    stamps = [file.stat().st_mtime_ns for file in files]
    again = cross_validate(two, place, None, Grid(("gain",)), FEW, resume=True, quiet=True)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    assert undated(again.metrics) == undated(found.metrics)
    with pytest.raises(OutputError, match="holds a run already; add --resume"):
        cross_validate(two, place, None, quiet=True)
    with pytest.raises(OutputError, match="differs from the recipe asked for"):
        cross_validate(replace(two, seed=1), place, None, resume=True, quiet=True)


def test_a_fold_that_has_heard_its_test_speakers_is_refused(
    workshop: Path, folds: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    two = recipe(workshop, "voices", protocol="voices-two")
    for side, speaker in (("train", "s1"), ("dev", "s2")):
        place = shutil.copytree(folds[0], tmp_path / side)
        metrics = json.loads((place / "fold-b" / "metrics.json").read_text())
        metrics["material"][side]["voices"]["speakers"].append(speaker)
        (place / "fold-b" / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(LeakError, match="fold-b: its model has heard test speakers of fold b"):
            cross_validate(two, place, None, resume=True, quiet=True)
    (tmp_path / "dev" / "fold-b" / "metrics.json").write_text("{}")
    with pytest.raises(LeakError, match="or hides whom"):
        cross_validate(two, tmp_path / "dev", None, resume=True, quiet=True)


def test_a_protocol_that_leaks_says_so_wherever_its_figures_stand(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RecipeError, match=r"split.train_on_dev: must be true, since voices-random has nobody"):
        cross_validate(recipe(workshop, "voices", protocol="voices-random"), tmp_path, None)
    leaking = recipe(workshop, "voices", protocol="voices-random", train_on_dev=True)
    leaking = replace(leaking, optim=replace(leaking.optim, epochs=1))
    found = cross_validate(leaking, tmp_path / "runs", None, settings=FEW, quiet=True)
    metrics = valid(found.metrics)
    assert metrics["seen"]["status"] == "leaks"
    assert metrics["seen"]["message"] == splits.LEAKS
    assert {line["seen"] for line in lines(metrics)} == {"leaks"}
    assert "LEAKS" in table(metrics)
    (tmp_path / "report").mkdir()
    write_results(found, tmp_path / "report")
    assert "SPEAKERS ON BOTH SIDES" in (tmp_path / "report" / "report.md").read_text()
    with pytest.raises(UsageError, match=r"of voices-random, where speakers stand on both sides.*no card may show it"):
        export(tmp_path / "runs" / "fold-1", tmp_path / "x", None, results=[tmp_path / "report" / "metrics.json"])
    (tmp_path / "leaking.yaml").write_text(dump_recipe(leaking))
    command = ["train", str(tmp_path / "leaking.yaml"), "--fold", "1", "--resume", "-q", "-o", str(tmp_path / "runs")]
    assert run([*command]) == 0
    assert f"warning: voices-random: {splits.LEAKS}" in capsys.readouterr().err


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong must be told before a fold is trained."""
    from sercli.training import run as training

    monkeypatch.setattr(training, "train_fold", lambda *_, **__: pytest.fail("trained already"))


def test_what_cannot_be_measured_is_told_before_training(workshop: Path, untrained: None, tmp_path: Path) -> None:
    two = recipe(workshop, "voices", protocol="voices-two")
    with pytest.raises(CorpusError, match="babble needs clips of at least 7 speakers"):
        cross_validate(two, tmp_path, None, Grid(("babble",)))
    with pytest.raises(LabelError, match="no utterance of sad, so three cannot be measured"):
        cross_validate(without_sad(workshop, tmp_path), tmp_path / "runs", None)
    three = recipe(workshop, "voices", "shouts", protocol="cross-corpus", train_on_dev=True)
    with pytest.raises(UsageError, match="not across corpora; leave --robustness out"):
        cross_validate(three, tmp_path, None, Grid(("white",)))


def without_sad(workshop: Path, folder: Path) -> Recipe:
    write_voices(folder, "voices", SPEAKERS, labels=("angry", "happy"))
    return recipe(folder, "voices", protocol="voices-two")


# A recipe across corpora


@pytest.fixture(scope="module")
def across(workshop: Path) -> Evaluation:
    corpora = ("voices", "murmurs", "shouts")
    every = recipe(workshop, *corpora, protocol="cross-corpus", train_on_dev=True)
    every = replace(every, optim=replace(every.optim, epochs=1))
    return cross_validate(every, workshop / "across", None, settings=FEW, quiet=True)


def test_every_corpus_on_every_other(workshop: Path, across: Evaluation) -> None:
    metrics = valid(across.metrics)
    assert across.answers is None
    pairs = metrics["pairs"]
    assert {train: [*row] for train, row in pairs.items()} == {
        "murmurs": ["shouts", "voices"],
        "shouts": ["murmurs", "voices"],
        "voices": ["murmurs", "shouts"],
    }
    # over the labels both have: shouts are never sad
    assert pairs["voices"]["murmurs"]["labels"] == ["happy", "sad", "angry"]
    for train, test in (("voices", "shouts"), ("shouts", "voices")):
        assert pairs[train][test]["labels"] == ["happy", "angry"]
        assert (pairs[train][test]["chance"], len(pairs[train][test]["confusion"])) == (50.0, 2)
    assert (pairs["voices"]["shouts"]["clips"], pairs["shouts"]["voices"]["clips"]) == (8, 22)
    assert pairs["voices"]["murmurs"]["speakers"] == 3
    cells = [cell for row in pairs.values() for cell in row.values()]
    for key in ("ua", "wa", "chance"):
        assert metrics["over_pairs"][key] == pytest.approx(np.mean([cell[key] for cell in cells]), abs=0.01)
    assert (metrics["figures"], metrics["data"]["left_out"]) == ({}, {})
    assert metrics["data"]["corpora"] == {"murmurs": 18, "shouts": 8, "voices": 34}
    assert metrics["seen"]["status"] == "unseen"
    assert [*metrics["model"]["sha256"]] == ["murmurs", "shouts", "voices"]
    with pytest.raises(UsageError, match="compare one pair of corpora"):
        compared_with_predictions(across, {}, "report", FEW)


def test_a_pair_is_what_the_model_says_among_the_shared_labels(workshop: Path, across: Evaluation) -> None:
    model = open_model(workshop / "across" / "fold-voices")
    assert model.heard is not None
    assert {corpus for corpus, _ in model.heard.train} == {"voices"}
    shouts = read_table(workshop / "shouts.csv")
    right = [
        model.student.predict(soundfile.read(u.path)[0], RATE, labels=["happy", "angry"], threshold=0.0).label
        == u.emotion
        for u in shouts
    ]
    assert across.metrics["pairs"]["voices"]["shouts"]["wa"] == pytest.approx(100 * np.mean(right), abs=0.01)


def test_corpora_without_common_labels_are_refused(workshop: Path, untrained: None, tmp_path: Path) -> None:
    write_voices(tmp_path, "sobs", SPEAKERS[:2], labels=("sad",))
    shutil.copy(workshop / "shouts.csv", tmp_path)
    shutil.copytree(workshop / "shouts", tmp_path / "shouts")
    apart = recipe(tmp_path, "sobs", "shouts", protocol="cross-corpus", train_on_dev=True)
    with pytest.raises(LabelError, match="shouts to sobs, over the labels both have: no utterances"):
        cross_validate(apart, tmp_path / "runs", None)

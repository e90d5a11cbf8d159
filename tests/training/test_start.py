"""Runs that begin with a student that is trained already."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from safetensors.torch import load_file  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.corpora.splits import Split  # noqa: E402
from sercli.corpora.table import Utterance, read_table  # noqa: E402
from sercli.errors import LeakError  # noqa: E402
from sercli.labels import LABEL_SETS  # noqa: E402
from sercli.training.recipe_file import load_recipe  # noqa: E402
from sercli.training.run import train_fold  # noqa: E402
from sercli.training.start import starting_student  # noqa: E402
from sercli.training.trainer import train  # noqa: E402

STILL = ["split.train_on_dev=true", "optim.epochs=1", "optim.lr=1e-12", "optim.average=0"]


@pytest.fixture
def voices(corpus: Path) -> dict[str, list[Utterance]]:
    clips = read_table(corpus.parent / "voices" / "voices.csv")
    return {name: [clip for clip in clips if clip.speaker == name] for name in ("s1", "s2", "s3", "s4")}


@pytest.fixture
def first(corpus: Path, tmp_path: Path, voices: dict[str, list[Utterance]]) -> Path:
    recipe = load_recipe(corpus, ["split.train_on_dev=true", "optim.epochs=1"])
    return train(recipe, Split(voices["s1"], [], []), tmp_path / "first", quiet=True).folder


def test_it_begins_with_the_weights_and_remembers_whom_they_knew(
    corpus: Path, tmp_path: Path, voices: dict[str, list[Utterance]], first: Path
) -> None:
    recipe = load_recipe(corpus, STILL)
    start = starting_student(str(first), ("angry",), voices["s3"])
    assert start.other_labels
    start = starting_student(str(first), json.loads((first / "checkpoint.json").read_text())["labels"], voices["s3"])
    second = train(recipe, Split(voices["s2"], [], voices["s3"]), tmp_path / "second", quiet=True, start=start).folder
    before, after = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    for name in ("stem.weight", "embedding.weight", "classifier.weight"):
        torch.testing.assert_close(after[name], before[name], rtol=1e-6, atol=1e-8)
    heard = json.loads((second / "metrics.json").read_text())["material"]["train"]["voices"]
    assert heard == {"utterances": len(voices["s2"]), "speakers": ["s1", "s2"]}
    with pytest.raises(LeakError, match=r"has heard voices/s1, whom this run holds out; take another"):
        starting_student(str(second), (), voices["s1"])


def test_other_labels_get_a_classifier_of_their_own(
    corpus: Path, tmp_path: Path, voices: dict[str, list[Utterance]], first: Path
) -> None:
    recipe = load_recipe(corpus, [*STILL, "corpus.labels=iemocap4"])
    start = starting_student(str(first), LABEL_SETS["iemocap4"], [])
    second = train(recipe, Split(voices["s2"], [], []), tmp_path / "second", quiet=True, start=start).folder
    before, after = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert (len(before["classifier.weight"]), len(after["classifier.weight"])) == (7, 4)
    torch.testing.assert_close(after["embedding.weight"], before["embedding.weight"], rtol=1e-6, atol=1e-8)


def test_the_recipe_names_it_and_a_held_out_speaker_is_refused(
    corpus: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = "split.dev_speakers={voices: [s3, s4, s5, s6]}"
    command = ["train", str(corpus), f"student.start={first}", "-q", "-o", str(tmp_path / "third")]
    assert run([*command, held, "optim.epochs=1"]) == 0, capsys.readouterr().err
    heard = json.loads((tmp_path / "third" / "metrics.json").read_text())["material"]["train"]["voices"]
    assert heard["speakers"] == ["s1", "s2"]
    assert run([*command, "split.dev_speakers={voices: [s1]}", "--overwrite"]) == 1
    assert f"student.start: {first} has heard voices/s1, whom this run holds out" in capsys.readouterr().err


def test_development_speakers_that_train_may_be_known(
    corpus: Path, tmp_path: Path, voices: dict[str, list[Utterance]], first: Path
) -> None:
    split = Split(voices["s2"], voices["s1"], voices["s3"])
    fold = tmp_path / "folds" / "fold-1"
    recipe = load_recipe(corpus, [*STILL, f"student.start={first}"])
    assert train_fold(recipe, split, fold, None, quiet=True)["test"]["clips"] == len(voices["s3"])
    recipe = load_recipe(corpus, ["optim.epochs=1", f"student.start={first}"])
    with pytest.raises(LeakError, match="has heard voices/s1"):
        train_fold(recipe, split, tmp_path / "folds" / "fold-2", None, quiet=True)


def test_a_bundled_student_may_begin_a_run_on_other_voices(voices: dict[str, list[Utterance]]) -> None:
    start = starting_student("micro", LABEL_SETS["seven"], voices["s1"])
    assert (start.architecture, start.other_labels) == ("cnn-attention", False)
    assert start.weights.name == "model.safetensors"
    assert start.weights.exists()
    assert ("ravdess", "01") in start.heard

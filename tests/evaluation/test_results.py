from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import write_tones

for package in ("onnx", "matplotlib", "sklearn"):
    pytest.importorskip(package, reason='needs the extra "eval"')

from sercli.corpora.table import Utterance  # noqa: E402
from sercli.errors import CorpusError, OutputError  # noqa: E402
from sercli.evaluation import plots  # noqa: E402
from sercli.evaluation.answers import row_of  # noqa: E402
from sercli.evaluation.grid import Grid  # noqa: E402
from sercli.evaluation.measure import Settings  # noqa: E402
from sercli.evaluation.model import open_model  # noqa: E402
from sercli.evaluation.results import check_folder, read_predictions, write_results  # noqa: E402
from sercli.evaluation.run import Evaluation, evaluate  # noqa: E402
from tests.tiny import LABELS, RATE, make_bundle  # noqa: E402

START = 1_234.5678  # s, as of a turn in a long recording: more digits than "%g" keeps


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """An evaluation with noise, ratings, one silent clip and one deep in a long file."""
    folder = tmp_path_factory.mktemp("found")
    utterances = write_tones(folder / "tones", wrong=("s2-sad",))
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "long.flac", np.zeros(round((START + 0.5) * 1_000), np.float32), 1_000)
    quiet = Utterance(str(folder / "silence.wav"), corpus="tones", speaker="s1", emotion="sad", start=0.25, end=0.75)
    deep = replace(quiet, path=str(folder / "long.flac"), start=START, end=float("nan"))
    model = open_model(make_bundle(folder / "tiny", rates=True))
    grid = Grid(("white",), (0.0, -20.0))
    return evaluate(model, [*utterances, quiet, deep], grid=grid, settings=Settings(draws=50, scale=(0.0, 10.0)))


@pytest.fixture(scope="module")
def report(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report; not to be changed by a test."""
    folder = tmp_path_factory.mktemp("report")
    names = write_results(found, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    return folder


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take seconds, and most tests do not look at them."""
    monkeypatch.setattr(plots, "draw", lambda *_: [])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_holds_figures_answers_pictures_and_words(found: Evaluation, report: Path) -> None:
    names = {path.name for path in report.iterdir()}
    assert {"metrics.json", "predictions.csv", "report.md", "confusion.png", "robustness.png"} < names
    assert json.loads((report / "metrics.json").read_text()) == json.loads(json.dumps(found.metrics, allow_nan=False))
    text = (report / "report.md").read_text()
    assert all(f"]({name})" in text for name in names if name.endswith(".png"))


def test_predictions_are_the_answers(found: Evaluation, report: Path) -> None:
    answers = found.answers
    assert answers is not None
    said = rows(report)
    assert [row["emotion"] for row in said] == [utterance.emotion for utterance in answers.task.utterances]
    for number, row in enumerate(said[:18]):
        assert row["prediction"] == LABELS[answers.predictions[number]]
        scores = [float(row[f"score_{label}"]) for label in LABELS]
        np.testing.assert_allclose(scores, answers.scores[number], atol=1e-6)
        assert float(row["score"]) == max(scores)
        assert float(row["valence"]) == pytest.approx(float(answers.dimensions[number, 1]), abs=1e-6)
        assert row["prediction under white -20 dB"] == LABELS[answers.spoilt["white", "-20 dB"][number]]
    quiet = said[18]
    assert (quiet["start"], quiet["end"], quiet["seconds"]) == ("0.25", "0.75", "0.500")
    empty = ("prediction", "score", "score_sad", "arousal", "prediction under white 0 dB")
    assert [quiet[column] for column in empty] == [""] * 5
    assert said[19]["start"] == "1234.5678"


def test_predictions_are_read_back(found: Evaluation, report: Path) -> None:
    answers = found.answers
    assert answers is not None
    said = read_predictions(report / "predictions.csv")
    labels = [said[row_of(utterance)] for utterance in answers.task.utterances]
    assert labels[:18] == [LABELS[number] for number in answers.predictions[:18]]
    assert labels[18:] == ["", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("", "it has no corpus, path, prediction, speaker, start"),
        ("path,corpus,speaker,prediction\na.wav,x,s,sad\n", "it has no start"),
        ("path,start,corpus,speaker,prediction\na.wav,soon,x,s,sad\n", "could not convert"),
        ("path,start,corpus,speaker,prediction\na/1.wav,0,x,s,sad\nb/1.wav,0,x,s,angry\n", "several utterances like b"),
        ("\xff".encode("latin-1"), "can't decode"),
    ],
)
def test_what_is_no_predictions_file_is_refused(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    path = tmp_path / "predictions.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorpusError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)


def test_files_below_the_report_are_named_relative_to_it(found: Evaluation, tmp_path: Path, no_pictures: None) -> None:
    assert found.answers is not None
    home = Path(found.answers.task.utterances[0].path).parents[1]
    inside = home / "report"
    inside.mkdir()
    write_results(found, inside)
    assert Path(rows(inside)[0]["path"]).is_absolute()
    write_results(found, home)
    assert rows(home)[0]["path"] == "tones/s1-sad.wav"


def test_a_report_is_not_replaced_unasked(found: Evaluation, tmp_path: Path, no_pictures: None) -> None:
    folder = tmp_path / "new" / "report"
    check_folder(folder, overwrite=False)
    assert list(folder.iterdir()) == []
    write_results(found, folder)
    with pytest.raises(OutputError, match="holds a report already; add --overwrite to replace it"):
        check_folder(folder, overwrite=False)
    check_folder(folder, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        check_folder(tmp_path / "file", overwrite=True)


@pytest.mark.parametrize("name", ["config.json", "recipe.yaml"])
def test_a_model_does_not_lose_its_record_to_a_report(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"holds a model, with a metrics\.json of its own"):
        check_folder(tmp_path, overwrite=True)


def test_overwriting_leaves_nothing_of_the_old_report(
    found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metrics.json", "predictions.csv", "cross.png", "embedding.png", "notes.txt", "my.png"):
        (tmp_path / name).write_text("old")

    def draw(metrics: dict[str, Any], folder: Path, *clips: Any) -> list[str]:
        (folder / "recall.png").write_text("new")
        return ["recall.png"]

    monkeypatch.setattr(plots, "draw", draw)
    across = Evaluation(found.metrics, None)  # corpora, which have no predictions.csv
    assert write_results(across, tmp_path) == ["metrics.json", "recall.png", "report.md"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["metrics.json", "my.png", "notes.txt", "recall.png", "report.md"]
    assert json.loads((tmp_path / "metrics.json").read_text())["format"] == 1


def test_a_failure_leaves_the_old_report_as_it_was(
    found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metrics.json", "report.md", "recall.png"):
        (tmp_path / name).write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, "draw", fail)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); choose another --report"):
        write_results(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "recall.png", "report.md"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    with pytest.raises(ValueError, match="Out of range float"):
        write_results(Evaluation({**found.metrics, "seed": float("nan")}, None), tmp_path)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}

"""`sercli eval`: figures of a model with known answers, refusals, streams, formats, reports, folds of a recipe."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_main import RUN, modules_after

from sercli.cli.evaluate import HEADINGS, evaluate
from sercli.cli.main import run
from sercli.corpora import splits
from sercli.runtime.student import Student
from tests.tiny import LABELS, RATE, SHARPNESS, TONES, brightness, make_bundle, tone

SCHEMA = Path(__file__).parents[2] / "sercli" / "evaluation" / "metrics.schema.json"
SPEAKERS = ("c", "d", "e", "f", "g", "h", "i", "j")
SECONDS = 0.3
NOISE_HZ = 5_000.0  # a recording whose tone the tiny student calls angry

needs_training = pytest.mark.skipif(
    any(
        find_spec(name) is None for name in ("torch", "torchaudio", "transformers", "accelerate", "onnx", "onnxscript")
    ),
    reason='needs the extra "train"',
)
needs_pictures = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("matplotlib", "sklearn")), reason='needs the extra "eval"'
)


class Result:
    """What one run left: exit code, stdout and stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Lines by metric and what it is of."""
        rows = [json.loads(line) for line in self.out.splitlines()]
        found = {(row["metric"], row["of"]): row for row in rows}
        assert len(found) == len(rows) > 0
        return found


Sercli = Callable[..., Result]


@pytest.fixture
def sercli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sercli:
    """Run `sercli eval` in this process, without a folder of corpora."""
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    monkeypatch.delenv("SERCLI_DEBUG", raising=False)

    def call(*arguments: object) -> Result:
        code = run(["eval", *map(str, arguments)])
        return Result(code, *capsys.readouterr())

    return call


def write_tones(
    folder: Path, speakers: Sequence[str], wrong: Sequence[tuple[str, str]] = (), corpus: str = "voices"
) -> Path:
    """Write a table of a tone per speaker and class; those in `wrong` sound neutral. One more clip is of boredom."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,corpus,speaker,gender,emotion"]
    for number, speaker in enumerate(speakers):
        for label in LABELS:
            hertz = TONES["neutral" if (speaker, label) in wrong else label]
            soundfile.write(folder / f"{speaker}-{label}.wav", tone(hertz, SECONDS), RATE)
            rows.append(f"{speaker}-{label}.wav,{corpus},{speaker},{'fm'[number % 2]},{label}")
    soundfile.write(folder / "bored.wav", tone(1_000, SECONDS), RATE)
    rows.append(f"bored.wav,{corpus},{speakers[0]},f,boredom")
    table = folder / "table.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def with_material(folder: Path, train: Sequence[str] = ("a",), dev: Sequence[str] = ("b",), **changes: Any) -> Path:
    """Write a tiny bundle that says which speakers of `voices` trained and calibrated it."""
    make_bundle(folder, **changes)
    material = {side: {"voices": {"speakers": names}} for side, names in (("train", train), ("dev", dev))}
    (folder / "metrics.json").write_text(json.dumps({"material": material}))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student, trained on voices/a and calibrated on voices/b."""
    return with_material(tmp_path_factory.mktemp("material") / "tiny")


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight speakers nobody has heard; of 24 clips, an angry one of c and a sad one of e sound neutral."""
    return write_tones(tmp_path_factory.mktemp("eight"), SPEAKERS, [("c", "angry"), ("e", "sad")])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of them, all answered rightly."""
    return write_tones(tmp_path_factory.mktemp("two"), ("d", "f"))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one kind of noise, a whistle, and one room."""
    folder = tmp_path_factory.mktemp("noise")
    for side, hertz in (("train", 100.0), ("test", NOISE_HZ)):
        (folder / "whistle" / side).mkdir(parents=True)
        soundfile.write(folder / "whistle" / side / f"{side}.wav", tone(hertz, 1.0), RATE)
    (folder / "rir").mkdir()
    soundfile.write(folder / "rir" / "dry.wav", np.eye(1, 160)[0], RATE)
    return folder


def test_figures_of_known_answers(sercli: Sercli, tiny: Path, eight: Path) -> None:
    result = sercli(tiny, "--table", eight)
    assert result.code == 0
    assert result.err == "24 utterances, 8 speakers, labels sad, neutral, angry; left out: boredom 1\n"
    lines = result.lines
    assert list(lines)[:3] == [("UA", ""), ("WA", ""), ("macro F1", "")]
    assert list(lines["UA", ""]) == ["metric", "of", "value", "low", "high", "unit", "clips", "seen"]
    assert lines["UA", ""]["value"] == lines["WA", ""]["value"] == pytest.approx(100 * 22 / 24, abs=0.01)
    assert lines["UA", ""]["low"] < lines["UA", ""]["value"] < lines["UA", ""]["high"]
    assert {of: row["value"] for (metric, of), row in lines.items() if metric == "recall"} == {
        "sad": 87.5,
        "neutral": 100,
        "angry": 87.5,
    }
    by_gender = [lines["UA", f"gender {gender}"]["value"] for gender in "fm"]
    assert by_gender == [pytest.approx(100 * 10 / 12, abs=0.01), 100]
    assert lines["UA", "speaker voices/c"]["value"] == pytest.approx(100 * 2 / 3, abs=0.01)
    assert {row["seen"] for row in lines.values()} == {"unseen"}


def test_table_for_people(sercli: Sercli, tiny: Path, two: Path) -> None:
    """Every clip is a pure tone, so scores and calibration follow from the student's formula."""
    centres = np.array([brightness(TONES[label]) for label in LABELS])
    logits = -SHARPNESS * np.abs(centres[:, None] - centres)
    right = np.exp(logits.diagonal()) / np.exp(logits).sum(axis=1)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nll, brier = -np.log(right).mean(), np.square(scores - np.eye(3)).sum(axis=1).mean()
    result = sercli(tiny, "--table", two, "-f", "table", "--quiet")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "UA                                   100.0 %      6 clips",
        "WA                                   100.0 %      6 clips",
        "macro F1                             100.0 %      6 clips",
        "recall  sad                          100.0 %      2 clips",
        "recall  neutral                      100.0 %      2 clips",
        "recall  angry                        100.0 %      2 clips",
        f"ECE                                    {100 * (1 - right.mean()):.1f} %",
        f"NLL                                 {nll:.4f} nat",
        f"Brier score                         {brier:.4f}",
        "area under the risk-coverage curve     0.0 %",
        "UA  scores from 0.50                 100.0 %",
        "coverage  scores from 0.50           100.0 %",
        "UA  gender f                         100.0 %      3 clips",
        "UA  gender m                         100.0 %      3 clips",
        "UA  speaker voices/d                 100.0 %      3 clips",
        "UA  speaker voices/f                 100.0 %      3 clips",
    ]


def test_json_is_metrics_json_and_follows_the_schema(
    sercli: Sercli, tiny: Path, eight: Path, noise: Path, tmp_path: Path
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    other = with_material(tmp_path / "other", sharpness=1.0)
    options = ["--robustness", "--snr", "0", "--noise", noise, "--against", other, "--seed", 5]
    metrics = json.loads(sercli(tiny, "--table", eight, "-f", "json", *options).out)
    jsonschema.validate(metrics, json.loads(SCHEMA.read_text()))
    assert (metrics["model"]["name"], metrics["model"]["kind"], metrics["data"]["label_set"]) == (
        "tiny",
        "bundle",
        "shared",
    )
    assert metrics["data"]["left_out"] == {"boredom": 1}
    assert metrics["figures"]["confusion"] == [[7, 1, 0], [0, 8, 0], [0, 1, 7]]
    assert metrics["bootstrap"]["seed"] == metrics["robustness"]["seed"] == 5
    assert metrics["robustness"]["noise_files"]["whistle"]["files"] == ["whistle/test/test.wav"]


@pytest.mark.parametrize(
    ("speakers", "status", "message"),
    [
        ("ab", "seen", "trained on voices/a and selected and calibrated on voices/b: 6 of 6 utterances are theirs"),
        ("bc", "partly seen", "selected and calibrated on voices/b: 3 of 6 utterances are theirs"),
    ],
)
def test_seen_speakers_are_told(
    sercli: Sercli, tiny: Path, tmp_path: Path, speakers: str, status: str, message: str
) -> None:
    table = write_tones(tmp_path, speakers)
    result = sercli(tiny, "--table", table, "-q")
    assert result.code == 0
    assert result.err.startswith("warning: tiny@")
    assert result.err.endswith(f": {status.upper()}: the model was {message}\n")
    assert {row["seen"] for row in result.lines.values()} == {status}
    lines = sercli(tiny, "--table", table, "-q", "-f", "table").out.splitlines()
    assert all(line.endswith(f"  {status.upper()}") for line in lines)


def test_a_model_that_does_not_say_is_unknown(sercli: Sercli, tiny_bundle: Path, two: Path) -> None:
    result = sercli(tiny_bundle, "--table", two, "-q")
    assert "UNKNOWN: the model does not say whom it was trained on" in result.err
    assert {row["seen"] for row in result.lines.values()} == {"unknown"}


def test_the_other_model_may_have_seen_the_speakers(sercli: Sercli, tiny: Path, two: Path, tmp_path: Path) -> None:
    """A model that knows the speakers wins unfairly, so the warning names it."""
    other = with_material(tmp_path / "other", train=["d"], dev=["f"], name="insider")
    warnings = [line for line in sercli(tiny, "--table", two, "--against", other).err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: insider@")
    assert ": SEEN: " in warnings[0]


def test_against(sercli: Sercli, tiny: Path, eight: Path, tmp_path: Path) -> None:
    """The other student takes low tones for angry and high ones for sad: only neutral stays right, for everybody."""
    other = with_material(tmp_path / "other", labels=LABELS[::-1], name="other")
    result = sercli(tiny, "--table", eight, "--against", other, "-f", "json")
    against = json.loads(result.out)["against"]
    assert (result.code, against["model"]["name"]) == (0, "other")
    assert against["ua"]["first"] == pytest.approx(100 * 22 / 24, abs=0.01)
    assert against["ua"]["second"] == pytest.approx(100 / 3, abs=0.01)
    assert against["ua"]["low"] < against["ua"]["difference"] == pytest.approx(-100 * 14 / 24, abs=0.01)
    assert against["ua"]["high"] < 0
    assert against["ua"]["p"] == pytest.approx(2 / 2**8, abs=1e-5)
    lines = sercli(tiny, "--table", eight, "--against", other).lines
    assert lines[f"UA of {against['model']['id']} less this", ""]["value"] == against["ua"]["difference"]


@needs_pictures
def test_report_and_comparison_with_it(sercli: Sercli, tiny: Path, eight: Path, tmp_path: Path) -> None:
    report = tmp_path / "reports" / "first"
    result = sercli(tiny, "--table", eight, "-f", "json", "--report", report, "--kinds", "gain")
    assert result.code == 0, result.err
    names = {path.name for path in report.iterdir()}
    assert names >= {"report.md", "metrics.json", "predictions.csv", "confusion.png", "recall.png", "robustness.png"}
    assert not [name for name in names if name.endswith(".part")]
    assert set(result.err.splitlines()[-1].removeprefix(f"{report}: ").split(", ")) == names
    assert json.loads((report / "metrics.json").read_text()) == json.loads(result.out)
    rows = list(csv.DictReader((report / "predictions.csv").read_text(encoding="utf-8").splitlines()))
    wrong = {(row["speaker"], row["emotion"], row["prediction"]) for row in rows if row["emotion"] != row["prediction"]}
    assert (len(rows), wrong) == (24, {("c", "angry", "neutral"), ("e", "sad", "neutral")})
    assert all(f"]({name})" in (report / "report.md").read_text() for name in names if name.endswith(".png"))

    for other in (report, report / "predictions.csv"):
        lines = sercli(tiny, "--table", eight, "--against", other).lines
        difference = lines[f"UA of {report / 'predictions.csv'} less this", ""]
        assert (difference["value"], difference["low"], difference["high"]) == (0, 0, 0)
        assert lines["p of that difference", "UA"]["value"] == 1

    before = (report / "metrics.json").read_bytes()
    again = sercli(tiny, "--table", eight, "--report", report)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"sercli: error: {report}: holds a report already; add --overwrite to replace it\n"
    assert (report / "metrics.json").read_bytes() == before
    assert sercli(tiny, "--table", eight, "--report", report, "--overwrite", "-q", "--seed", 1).code == 0
    assert json.loads((report / "metrics.json").read_text())["bootstrap"]["seed"] == 1


@needs_pictures
def test_figures_are_told_even_if_the_report_cannot_be_written(
    sercli: Sercli, tiny: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sercli.evaluation.results.dump_predictions", full)
    result = sercli(tiny, "--table", two, "--report", tmp_path / "report")
    assert result.code == 1
    assert result.lines["UA", ""]["value"] == 100
    assert "cannot be written (No space left on device)" in result.err.splitlines()[-1]


@needs_pictures
def test_a_reader_that_leaves_costs_no_report(tiny: Path, two: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sercli", "eval", tiny, "--table", two, "--report", tmp_path / "report", "-q"]
    running = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait() == 0
    running.stderr.close()
    assert (tmp_path / "report" / "report.md").exists()


def test_robustness(sercli: Sercli, tiny: Path, eight: Path, noise: Path) -> None:
    lines = sercli(tiny, "--table", eight, "--robustness", "--noise", noise, "--snr", "20,-20").lines
    cells = [of for metric, of in lines if metric == "UA" and of.partition(" ")[0] in KINDS]
    assert [of for of in cells if of.endswith(" dB") and not of.startswith("gain")] == [
        f"{kind} {snr} dB" for kind in ("whistle", "white", "pink", "babble") for snr in (20, -20)
    ]
    assert {of.partition(" ")[0] for of in cells} == KINDS
    clean = lines["UA", ""]["value"]
    assert lines["UA", "gain -10 dB"]["value"] == lines["UA", "reverb dry"]["value"] == clean
    loud = lines["UA", "whistle -20 dB"]  # all that is heard is the whistle, which sounds angry
    assert loud["value"] == pytest.approx(100 / 3, abs=0.01)


KINDS = {"whistle", "white", "pink", "babble", "reverb", "mp3", "opus", "telephone", "gain", "clipping"}


def test_kinds_alone(sercli: Sercli, tiny: Path, two: Path, noise: Path) -> None:
    result = sercli(tiny, "--table", two, "--kinds", "clipping, whistle", "--noise", noise, "--snr", "3")
    assert [of for _, of in result.lines if of.partition(" ")[0] in KINDS] == [
        "clipping 1 %",
        "clipping 5 %",
        "clipping 20 %",
        "whistle 3 dB",
    ]
    rooms = sercli(tiny, "--table", two, "--kinds", "reverb", "--rir", noise / "rir").lines
    assert ("UA", "reverb dry") in rooms


@pytest.mark.skipif(find_spec("onnx") is None, reason="needs onnx")
def test_cost(sercli: Sercli, tiny: Path, two: Path) -> None:
    lines = sercli(tiny, "--table", two, "--cost").lines
    assert lines["parameters", ""]["value"] == 3
    assert lines["file", "model.onnx"]["value"] == (tiny / "model.onnx").stat().st_size
    assert 0 < lines["real-time factor", "one thread"]["value"] < 1


def test_labels(sercli: Sercli, tmp_path: Path) -> None:
    """Without a set, what the model lacks is left out; with one, the model must have all of it."""
    table = write_tones(tmp_path, ("c", "d"))
    bundle = with_material(tmp_path / "tiny", labels=["sad", "happy", "angry"])
    result = sercli(bundle, "--table", table, "-f", "json")
    assert json.loads(result.out)["data"]["labels"] == ["sad", "angry"]
    assert "left out: boredom 1, neutral 2" in result.err
    lacking = sercli(bundle, "--table", table, "--labels", "iemocap4")
    assert (lacking.code, lacking.out) == (2, "")
    assert "the model has no label neutral of iemocap4" in lacking.err


def test_scale_of_ratings(sercli: Sercli, tiny: Path, tmp_path: Path) -> None:
    wrong = sercli(tiny, "--table", write_tones(tmp_path, "cd"), "--scale", 5, 1)
    assert (wrong.code, wrong.err) == (
        2,
        "sercli: error: --scale LOW HIGH: the lower end comes first, such as --scale 1 5\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["MODEL"], 2, "name what to measure on, once: --corpus NAME, --table FILE or --recipe FILE"),
        (["MODEL", "--table", "TABLE", "--corpus", "emodb"], 2, "name what to measure on, once"),
        (["--recipe", "r.yaml", "--table", "TABLE"], 2, "name what to measure on, once"),
        (["--table", "TABLE"], 2, "which model?"),
        (["mikro", "--table", "TABLE"], 2, "no student named 'mikro' (did you mean \"micro\"?)"),
        (["./none", "--table", "TABLE"], 2, "no student folder './none'"),
        (["MODEL", "optim.epochs=3", "--table", "TABLE"], 2, "optim.epochs=3: KEY=VALUE overrides are for --recipe"),
        (["MODEL", "--table", "TABLE", "--resume"], 2, "--output and --resume are for the folds of a --recipe"),
        (["MODEL", "--table", "TABLE", "-o", "x"], 2, "--report names the report folder"),
        (["MODEL", "--table", "TABLE", "--overwrite"], 2, "--overwrite needs --report"),
        (["MODEL", "--table", "TABLE", "--root", "x"], 2, "--root is the folder of one --corpus"),
        (["MODEL", "--corpus", "emodb", "--corpus", "tess", "--root", "x"], 2, "with several, use --data DIR"),
        (["MODEL", "--corpus", "emodb"], 2, "where is emodb?"),
        (["MODEL", "--corpus", "emodbb"], 2, 'unknown corpus "emodbb" (did you mean "emodb"?)'),
        (["MODEL", "--corpus", "emodb", "--data", "/no/where"], 1, "/no/where/emodb: no such folder"),
        (["MODEL", "--table", "none.csv"], 1, "none.csv: no such table"),
        (["MODEL", "--table", "none.xlsx"], 2, "a table is a .csv or .jsonl file"),
        (["MODEL", "--table", "TABLE", "--protocol", "emodb-los"], 2, '(did you mean "emodb-loso"?)'),
        (["MODEL", "--table", "TABLE", "--protocol", "emodb-loso"], 1, "is of corpus emodb"),
        (["MODEL", "--table", "TABLE", "--protocol", "cross-corpus"], 2, "give it a --recipe"),
        (["MODEL", "--table", "TABLE", "--labels", "sevn"], 2, '(did you mean "seven"?)'),
        (["MODEL", "--table", "TABLE", "--labels", "seven"], 2, "the model has no label happy, fear, disgust"),
        (["MODEL", "--table", "TABLE", "--kinds", "babbel"], 2, '(did you mean "babble"?)'),
        (["MODEL", "--table", "TABLE", "--kinds", "white,"], 2, 'unknown corruption ""'),
        (["MODEL", "--table", "TABLE", "--kinds", "reverb"], 2, "reverb needs impulse responses"),
        (["MODEL", "--table", "TABLE", "--kinds", "white", "--snr", "10 5"], 2, "--snr 10 5: write decibels with"),
        (["MODEL", "--table", "TABLE", "--kinds", "white", "--snr", "nan"], 2, "SNR of nan dB"),
        (["MODEL", "--table", "TABLE", "--snr", "10"], 2, "--snr says how to corrupt: add --robustness"),
        (["MODEL", "--table", "TABLE", "--noise", "."], 2, "--noise says how to corrupt: add --robustness"),
        (["MODEL", "--table", "TABLE", "--rir", "."], 2, "--rir says how to corrupt: add --robustness"),
        (["MODEL", "--table", "TABLE", "--against", "mikro"], 2, 'did you mean "micro"?'),
        (["MODEL", "--table", "TABLE", "--against", "TABLE"], 1, "not the predictions.csv of a report"),
        (["MODEL", "--table", "TABLE", "--against", "none.csv"], 1, "none.csv: not the predictions.csv of a report"),
    ],
)
def test_refusals_are_one_line(
    sercli: Sercli, tiny: Path, two: Path, arguments: list[str], code: int, message: str
) -> None:
    stand = {"MODEL": str(tiny), "TABLE": str(two)}
    result = sercli(*(stand.get(word, word) for word in arguments))
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("sercli: error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@needs_training
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "none.yaml"], "none.yaml: no such recipe"),
        (["--recipe", "RECIPE", "optim.epoch=3"], "did you mean optim.epochs?"),
        (["micro", "--recipe", "RECIPE"], "override 'micro': write it as key.sub=value"),
        (["--recipe", "RECIPE", "split.protocol=''"], "split.protocol: name one of"),
        (["--recipe", "RECIPE", "--protocol", "emodb-loso"], "corpus.labels: emodb-loso is measured on emodb7"),
        (["--recipe", "RECIPE", "--protocol", "cross-corpus", "--against", "micro"], "leave --against out"),
        (["--recipe", "RECIPE", "--kinds", "babbel"], '(did you mean "babble"?)'),
        (["--recipe", "RECIPE", "--labels", "seven"], "--labels is for a MODEL"),
        (["--recipe", "RECIPE", "--cost"], "--cost is for a MODEL"),
        (["--recipe", "RECIPE", "--root", "x"], "--root is for a MODEL"),
        (["--recipe", "RECIPE", "--precision", "int8"], "--precision is for a MODEL"),
    ],
)
def test_refusals_of_recipes(sercli: Sercli, recipe: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = sercli(*(recipe if word == "RECIPE" else word for word in arguments), "-o", tmp_path / "runs")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_noise_folder_that_is_not_there(sercli: Sercli, tiny: Path, two: Path) -> None:
    result = sercli(tiny, "--table", two, "--robustness", "--noise", "/no/where")
    assert (result.code, result.out) == (2, "")
    assert "Directory '/no/where' does not exist" in result.err


def test_tables_that_cannot_be_measured(sercli: Sercli, tiny: Path, tmp_path: Path) -> None:
    table = write_tones(tmp_path, ("c", "d"))
    (tmp_path / "d-sad.wav").unlink()
    missing = sercli(tiny, "--table", table)
    assert (missing.code, missing.out) == (1, "")
    assert f"{tmp_path / 'd-sad.wav'}: no such file; run `sercli corpus check`" in missing.err
    table.write_text("path,speaker,emotion\n")
    assert sercli(tiny, "--table", table).code == 1
    table.write_text("path,speaker\nc-sad.wav,c\nc-angry.wav,c\n")
    unlabelled = sercli(tiny, "--table", table)
    assert (unlabelled.code, unlabelled.out) == (2, "")
    assert 'the column "emotion"' in unlabelled.err
    (tmp_path / "c-sad.wav").write_text("this is text")
    table.write_text("path,emotion\nc-sad.wav,sad\nc-angry.wav,angry\n")
    broken = sercli(tiny, "--table", table)
    assert (broken.code, broken.out) == (1, "")
    assert "c-sad.wav: not readable as audio" in broken.err


def test_a_model_without_the_labels_of_this_one(sercli: Sercli, tiny: Path, two: Path, tmp_path: Path) -> None:
    other = with_material(tmp_path / "other", name="other", labels=["sad", "happy", "angry"])
    result = sercli(tiny, "--table", two, "--against", other)
    assert (result.code, result.out) == (2, "")
    assert "has no label neutral; choose --labels that both have" in result.err


def emodb_folder(folder: Path) -> Path:
    """Tones named as EmoDB names its clips, by its speakers 03 and 08: L is boredom, T sad, N neutral, W angry."""
    (folder / "wav").mkdir(parents=True)
    for speaker in ("03", "08"):
        for letter, label in {"T": "sad", "N": "neutral", "W": "angry", "L": "neutral"}.items():
            soundfile.write(folder / "wav" / f"{speaker}a01{letter}a.wav", tone(TONES[label], SECONDS), RATE)
    return folder


def test_corpora_by_root_and_data(
    sercli: Sercli, tiny: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emodb_folder(tmp_path / "emodb")
    named = json.loads(sercli(tiny, "--corpus", "emodb", "--root", tmp_path / "emodb", "-f", "json").out)
    assert named["data"]["corpora"] == {"emodb": 6}
    assert named["figures"]["ua"]["value"] == 100
    both = sercli(tiny, "--corpus", "emodb", "--corpus", two, "--data", tmp_path, "-f", "json")
    assert json.loads(both.out)["data"]["corpora"] == {"emodb": 6, "voices": 6}
    monkeypatch.setenv("SERCLI_DATA", str(tmp_path))
    again = json.loads(sercli(tiny, "--corpus", "emodb", "--corpus", "emodb", "-f", "json").out)
    assert again["data"]["table_sha256"] == named["data"]["table_sha256"]


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A protocol of two folds, over four speakers of `voices`, among the published ones."""
    shutil.copytree(splits.FOLDS, tmp_path / "folds")
    folds = [{"name": "1", "test": ["c", "d"], "dev": ["e"]}, {"name": "2", "test": ["e", "f"], "dev": ["c"]}]
    facts = {"corpus": "voices", "label_set": "iemocap4", "source": "Here.", "dev_rule": "The next.", "folds": folds}
    (tmp_path / "folds" / "voices-2fold.json").write_text(json.dumps(facts))
    monkeypatch.setattr(splits, "FOLDS", tmp_path / "folds")
    return "voices-2fold"


def test_protocol_of_a_model(sercli: Sercli, protocol: str, tmp_path: Path) -> None:
    table = write_tones(tmp_path / "voices", "cdefgh", [("e", "sad")])
    table.write_text(table.read_text() + "c-happy.wav,voices,c,f,happy\n")
    soundfile.write(tmp_path / "voices" / "c-happy.wav", tone(7_000, SECONDS), RATE)
    bundle = with_material(tmp_path / "tiny")
    result = sercli(bundle, "--table", table, "--protocol", protocol, "--labels", "shared", "-f", "json")
    metrics = json.loads(result.out)
    assert (metrics["data"]["protocol"], metrics["data"]["speakers"]) == (protocol, 4)
    assert {name: (fold["wa"], fold["clips"]) for name, fold in metrics["folds"].items()} == {
        "1": (100, 6),
        "2": (83.33, 6),
    }
    lines = sercli(bundle, "--table", table, "--protocol", protocol, "--labels", "shared").lines
    assert lines["WA over folds", "mean"]["value"] == pytest.approx(91.67, abs=0.02)
    named = sercli(bundle, "--table", table, "--protocol", protocol)
    assert "the model has no label happy of iemocap4" in named.err  # the protocol names the labels, unless --labels


@pytest.fixture
def recipe(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe for a network of a few weights, over four speakers, four classes and one epoch."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    rows = ["path,corpus,speaker,emotion"]
    random = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for speaker in "cdef":
        for label, hertz in {"sad": 200, "neutral": 500, "happy": 1_500, "angry": 4_000}.items():
            clip = tone(hertz, 0.4) + 0.01 * random.standard_normal(6_400)
            soundfile.write(tmp_path / "clips" / f"{speaker}-{label}.wav", clip, RATE)
            rows.append(f"{speaker}-{label}.wav,voices,{speaker},{label}")
    (tmp_path / "clips" / "clips.csv").write_text("\n".join(rows) + "\n")
    path = tmp_path / "few.yaml"
    path.write_text(
        f"""
name: few
corpus: {{labels: iemocap4, sources: [{{name: {tmp_path / "clips" / "clips.csv"}}}]}}
split: {{protocol: {protocol}, train_on_dev: true}}
student:
  size: nano
  arguments: {{stem: 4, blocks: [[4, 2, 2]], frame_channels: 4, context: 0, attention: 4, embedding: 4}}
optim: {{epochs: 1, batch: 4, patience: 0}}
""",
        encoding="utf-8",
    )
    return path


@needs_training
@needs_pictures
def test_recipe_through_its_protocol(sercli: Sercli, recipe: Path, protocol: str, tmp_path: Path) -> None:
    command = ["--recipe", recipe, "-o", tmp_path / "runs"]
    result = sercli("optim.lr=1e-2", *command, "--report", tmp_path / "report", "--kinds", "gain", "-f", "json")
    assert result.code == 0, result.err
    metrics = json.loads(result.out)
    if find_spec("jsonschema"):
        from jsonschema import validate

        validate(metrics, json.loads(SCHEMA.read_text()))
    assert (metrics["model"]["kind"], metrics["seen"]["status"], metrics["data"]["protocol"]) == (
        "recipe",
        "unseen",
        protocol,
    )
    assert metrics["model"]["recipe"]["optim"]["lr"] == 0.01
    assert {name: fold["speakers"] for name, fold in metrics["folds"].items()} == {
        "1": ["voices/c", "voices/d"],
        "2": ["voices/e", "voices/f"],
    }
    assert sum(map(sum, metrics["figures"]["confusion"])) == 16
    assert f"fold 1: {tmp_path / 'runs' / 'fold-1'}\n" in result.err
    assert "warning" not in result.err
    assert (tmp_path / "report" / "report.md").exists()

    refused = sercli("optim.lr=1e-2", *command)
    assert (refused.code, refused.out) == (1, "")
    assert "add --resume to go on or --overwrite to start anew" in refused.err
    other = sercli(*command, "--resume", "-q")
    assert other.code == 1
    assert "differs from the recipe asked for" in other.err.splitlines()[-1]

    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("model.safetensors"))]
    lines = sercli("optim.lr=1e-2", *command, "--resume", "-q", "--against", tmp_path / "report").lines
    assert lines["UA", ""]["value"] == metrics["figures"]["ua"]["value"]
    assert lines[f"UA of {tmp_path / 'report' / 'predictions.csv'} less this", ""]["value"] == 0
    assert stamps == [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("model.safetensors"))]

    # a fold's run can be measured as a model too, but not what it costs
    table = tmp_path / "clips" / "clips.csv"
    single = sercli(tmp_path / "runs" / "fold-1", "--table", table, "-q")
    assert {row["seen"] for row in single.lines.values()} == {"partly seen"}
    assert single.lines["UA", "speaker voices/c"]["clips"] == 4
    cost = sercli(tmp_path / "runs" / "fold-1", "--table", table, "--cost")
    assert (cost.code, cost.out) == (2, "")
    assert "--cost needs a bundle; make one with `sercli export`" in cost.err


@needs_training
def test_recipe_across_corpora(sercli: Sercli, recipe: Path, tmp_path: Path) -> None:
    table = tmp_path / "clips" / "clips.csv"
    table.write_text(table.read_text().replace("voices,e", "others,e").replace("voices,f", "others,f"))
    result = sercli("--recipe", recipe, "--protocol", "cross-corpus", "-o", tmp_path / "runs")
    assert result.code == 0, result.err
    figures = [(metric, of) for metric, of in result.lines]
    assert figures == [("UA", "others to voices"), ("UA", "voices to others"), ("UA over pairs", "mean")]
    form = sercli("--recipe", recipe, "--protocol", "cross-corpus", "-o", tmp_path / "runs", "--resume", "-f", "table")
    assert form.out.startswith("UA  others to voices")
    noisy = sercli("--recipe", recipe, "--protocol", "cross-corpus", "-o", tmp_path / "runs", "--robustness")
    assert (noisy.code, noisy.out) == (2, "")


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_are_bars_and_a_table(
    sercli: Sercli, tiny: Path, eight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    arguments = [tiny, "--table", eight, "--against", tiny, "--kinds", "gain"]
    assert "file/s" not in sercli(*arguments).err
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert sercli(*arguments).code == 0
    assert err.getvalue().count("| 0/25 [") == 1  # of the 25 utterances 24 are asked
    assert err.getvalue().count("| 0/24 [") == 1  # of the other model
    assert out.getvalue().startswith("UA  ")
    assert "\x1b" not in out.getvalue()
    err.truncate(0)
    assert sercli(*arguments, "--quiet").code == 0
    assert "| 0/" not in err.getvalue()


def test_interrupt(sercli: Sercli, tiny: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Student, "label_whole", interrupted)
    result = sercli(tiny, "--table", two)
    assert (result.code, result.out, result.err.strip()) == (130, "", "interrupted")


def test_a_bundle_needs_neither_torch_nor_matplotlib(tiny: Path, two: Path) -> None:
    names = modules_after(RUN.format(arguments=["eval", str(tiny), "--table", str(two), "-q"]))
    assert "onnxruntime" in names
    assert not names & {"torch", "transformers", "matplotlib", "sklearn", "onnx"}


def test_extras_are_asked_for_before_anything_starts(
    sercli: Sercli, tiny: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    report = sercli(tiny, "--table", two, "--report", tmp_path / "report")
    assert (report.code, report.out) == (1, "")
    assert report.err.startswith("sercli: error: sercli eval --report needs matplotlib; ")
    assert not (tmp_path / "report").exists()
    recipe = sercli("--recipe", tmp_path / "none.yaml")
    assert (recipe.code, recipe.out) == (1, "")
    assert recipe.err.startswith("sercli: error: sercli eval --recipe needs torch; ")


def test_help_fits_and_groups_every_option(sercli: Sercli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = sercli("--help").out
    assert max(map(len, text.splitlines())) <= 100
    assert [line.removesuffix(":") for line in text.splitlines() if line[:1].isalpha() and line.endswith(":")] == list(
        HEADINGS.values()
    )
    for parameter in evaluate.params:
        assert all(f" {name}" in text for name in parameter.opts if name.startswith("--"))


def test_examples_of_the_help_are_valid(sercli: Sercli) -> None:
    examples = [line.split()[2:] for line in sercli("--help").out.splitlines() if line.startswith("  sercli eval ")]
    assert len(examples) == 4
    for words in examples:
        given = evaluate.make_context("eval", words).params
        assert given["model"] == "micro" or given["recipe"] or given["layers"]


@pytest.fixture(scope="module")
def emodb(real_data: Path) -> Path:
    if not (real_data / "emodb").is_dir():
        pytest.skip("SERCLI_DATA holds no emodb")
    return real_data / "emodb"


def test_micro_on_emodb_is_seen(sercli: Sercli, emodb: Path) -> None:
    result = sercli("micro", "--corpus", "emodb", "--root", emodb, "-f", "json")
    metrics = json.loads(result.out)
    assert metrics["data"]["utterances"] == metrics["seen"]["utterances"] == 454
    assert metrics["data"]["left_out"] == {"boredom": 81}
    assert metrics["data"]["labels"] == ["neutral", "happy", "sad", "angry", "fear", "disgust"]
    assert metrics["seen"]["status"] == "seen"
    assert metrics["groups"]["columns"]["gender"]
    assert ": SEEN: " in result.err


def test_micro_on_its_development_speakers(
    sercli: Sercli, emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the bundle says of its development speakers is measured again, from files.

    Its UA is over EmoDB's classes, but the student could also answer surprise, which EmoDB lacks; `sercli eval` lets it
    choose among the labels that it shares with the corpus. So the scores of `sercli predict` give both figures.
    """
    folder = Path(__file__).parents[2] / "zoo" / "students" / "micro"
    bundle = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    held = bundle["material"]["dev"]["emodb"]
    assert run(["corpus", "table", "emodb", "--root", str(emodb), "--labels", "seven"]) == 0
    rows = [row for row in csv.DictReader(io.StringIO(capsys.readouterr().out)) if row["speaker"] in held["speakers"]]
    assert len(rows) == held["utterances"]
    table = tmp_path / "dev.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    metrics = json.loads(sercli("micro", "--table", table, "-f", "json", "-q").out)

    assert run(["predict", *(row["path"] for row in rows), "--threshold", "0", "-q"]) == 0
    said = [json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()]
    emotions = [row["emotion"] for row in rows]

    def ua(choices: Sequence[str]) -> float:
        right: dict[str, list[bool]] = {}
        for emotion, scores in zip(emotions, said, strict=True):
            right.setdefault(emotion, []).append(max(choices, key=scores.__getitem__) == emotion)
        return 100 * math.fsum(sum(found) / len(found) for found in right.values()) / len(right)

    assert ua(list(said[0])) == pytest.approx(bundle["development"]["ua_by_corpus"]["emodb"], abs=0.3)
    assert ua(metrics["data"]["labels"]) == pytest.approx(metrics["figures"]["ua"]["value"], abs=0.01)

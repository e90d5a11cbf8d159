from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_metrics import example

from sercli.evaluation.report import CAPTIONS, write_report


def report(metrics: dict[str, Any], folder: Path, pictures: tuple[str, ...] = ()) -> str:
    write_report(metrics, folder, pictures)
    assert [path.name for path in folder.iterdir()] == ["report.md"]
    return (folder / "report.md").read_text(encoding="utf-8")


def test_has_every_figure(tmp_path: Path) -> None:
    metrics = example()
    text = report(metrics, tmp_path, tuple(CAPTIONS))
    ua, wa = metrics["figures"]["ua"], metrics["figures"]["wa"]
    assert text.startswith("# micro on ravdess-emobox6\n")
    assert (
        f"**UA {ua['value']:.1f} % (95 % interval {ua['low']:.1f} to {ua['high']:.1f}), WA {wa['value']:.1f} %" in text
    )
    assert "720 clips, 24 speakers, 8 classes; chance is 12.5 %" in text
    for label, recall in metrics["figures"]["recall"].items():
        assert f"| {label} | {recall['value']:.1f} | {recall['low']:.1f} to {recall['high']:.1f} | 90 |" in text
    assert "| mean ± standard deviation | 61.5 ± 0.5 | 61.0 ± 0.0 |" in text
    assert "1 clip without an answer (silence to the model) count" in text
    assert f"| ECE, % | {metrics['calibration']['ece']['value']:.1f} |" in text
    gap = metrics["groups"]["largest_gap"]
    assert f"**{gap['points']:.1f} points of UA by {gap['column']}**, from {gap['worst']} (worst)" in text
    rain = [cell["ua"] for cell in metrics["robustness"]["cells"] if cell["kind"] == "rain"]
    assert f"| rain | {ua['value']:.1f} | {' | '.join(f'{value:.1f}' for value in rain)} |" in text
    assert "2.75 times a matrix product" in text
    for name in CAPTIONS:
        assert f"]({name})" in text


def test_shows_only_pictures_that_are_there(tmp_path: Path) -> None:
    text = report(example(), tmp_path, ("recall.png",))
    assert text.count("![") == 1
    assert "## Embeddings" not in text


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("seen", "> **SEEN IN TRAINING:** the model says seen."),
        ("partly seen", "> **PARTLY SEEN IN TRAINING:** the model says partly seen."),
        ("unknown", "> **Not known to be unseen:** the model says unknown."),
    ],
)
def test_warns_before_the_first_figure(tmp_path: Path, status: str, line: str) -> None:
    assert report(example(seen=status), tmp_path).splitlines()[2].startswith(line)


def test_unseen_is_said_in_calm(tmp_path: Path) -> None:
    text = report(example(), tmp_path)
    assert "Test speakers: the model says unseen." in text
    assert "SEEN IN TRAINING" not in text


def test_says_only_what_was_measured(tmp_path: Path) -> None:
    metrics = {key: example()[key] for key in ("model", "data", "seen")}
    text = report(metrics, tmp_path)
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Figures", "## To repeat this"]
    assert text == report({**dict.fromkeys(example()), **metrics}, tmp_path)


def test_few_speakers_have_no_intervals(tmp_path: Path) -> None:
    metrics = example(speakers=4)
    text = report(metrics, tmp_path)
    assert f"**UA {metrics['figures']['ua']['value']:.1f} %, WA" in text
    assert "Too few speakers for intervals." in text
    assert "too few speakers for a test" in text
    assert "None" not in text
    assert " nan " not in text


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "said"),
    [
        (
            1.2,
            -0.3,
            2.7,
            0.12,
            "1.2 points better than micro@0123456789ab (61.2 against 60.0 %, 95 % interval -0.3 to 2.7)",
        ),
        (1.2, -0.3, 2.7, 0.12, "p = 0.12: not told apart by this test"),
        (-5.0, -7.0, -3.0, 0.0002, "5.0 points worse"),
        (-5.0, -7.0, -3.0, 0.0002, "p = 0.0002: told apart by this test"),
    ],
)
def test_compares_in_words(tmp_path: Path, difference: float, low: float, high: float, p: float, said: str) -> None:
    metrics = example()
    change = {"first": 60.0, "second": 60.0 + difference, "difference": difference, "low": low, "high": high, "p": p}
    metrics["against"] |= {"ua": change}
    line = next(line for line in report(metrics, tmp_path).splitlines() if line.startswith("UA: nano@ba9876543210"))
    assert said in line


def test_warns_of_the_other_model_too(tmp_path: Path) -> None:
    metrics = example()
    metrics["against"]["seen"] = {"status": "seen", "message": "it was trained on them"}
    assert "> **nano@ba9876543210: SEEN IN TRAINING:** it was trained on them." in report(metrics, tmp_path)


def test_names_all_it_takes_to_repeat(tmp_path: Path) -> None:
    repeat = report(example(), tmp_path).split("## To repeat this")[1]
    for needed in (
        "micro@0123456789ab",
        "ab" * 32,
        "ef" * 32,
        "ravdess-emobox6 (EmoBox)",
        "| training seed | 12345 |",
        "50 draws by speaker, 95 %, seed 0",
        "| recordings of rain | 2 files, sha256 1212",
        "sercli 0.1.0, numpy 2.0",
        "2026-11-21",
    ):
        assert needed in repeat


def test_names_cannot_break_a_table(tmp_path: Path) -> None:
    metrics = example()
    metrics["groups"]["columns"]["gender"]["groups"][0]["name"] = "f|x"
    assert "| f\\|x |" in report(metrics, tmp_path)


def test_is_the_same_every_time(tmp_path: Path) -> None:
    assert report(example(), tmp_path) == report(example(), tmp_path)

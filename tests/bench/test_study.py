import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sercli.evaluation.metrics import unweighted_accuracy

for package in ("matplotlib", "torch"):
    pytest.importorskip(package, reason='needs the extras "train" and "eval"')

from tests.bench import study  # noqa: E402

TARGETS = np.tile(np.arange(8), 6)
SPEAKERS = [f"ravdess/{number // 8:02d}" for number in range(48)]


def write_run(folder: Path, seed: int, wrong: int, beta: float | None = None) -> Path:
    """Two folds whose answers are right but for the first `wrong` clips of every speaker."""
    for fold in ("1", "2"):
        place = folder / f"fold-{fold}"
        place.mkdir(parents=True)
        method = "ce: {}" if beta is None else f"ce: {{}}, dkdfmh: {{beta: {beta}}}"
        recipe = f"corpus: {{labels: ravdess8, sources: [ravdess]}}\nseed: {seed}\nmethod: {{{method}}}\n"
        (place / "recipe.yaml").write_text(recipe)
        said = np.where(np.arange(48) % 8 < wrong, (TARGETS + 1) % 8, TARGETS)
        ua = round(100 * unweighted_accuracy(TARGETS, said, 8), 2)
        test = {"ua": ua, "wa": ua, "targets": TARGETS.tolist(), "predictions": said.tolist(), "speaker_of": SPEAKERS}
        (place / "metrics.json").write_text(json.dumps({"test": test}))
        (place / "checkpoint.json").write_text("{}")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_is_a_table_its_differences_and_a_curve(tmp_path: Path) -> None:
    runs = [
        f"ce={write_run(tmp_path / 'ce-0', 0, wrong=4)}",
        f"ce={write_run(tmp_path / 'ce-1', 1, wrong=4)}",
        f"beta1={write_run(tmp_path / 'beta1', 0, wrong=2, beta=1)}",
        f"beta4={write_run(tmp_path / 'beta4', 0, wrong=3, beta=4)}",
    ]
    study.main([*runs, "--against", "ce", "-o", str(tmp_path / "study")])
    folds = table(tmp_path / "study" / "folds.csv")
    assert len(folds) == 8
    assert folds[0] == {"variant": "ce", "seed": "0", "fold": "1", "ua": "50.0", "wa": "50.0"}
    one, other = table(tmp_path / "study" / "differences.csv")
    assert [row["variant"] for row in (one, other)] == ["beta1", "beta4"]
    # every speaker gains alike, so that every draw of speakers finds the same
    assert [float(one[f"ua_{key}"]) for key in ("first", "second", "difference", "low", "high")] == [50, 75, 25, 25, 25]
    assert float(other["ua_difference"]) == 12.5
    assert (one["seeds"], one["tests"]) == ("1", "2")
    assert (tmp_path / "study" / "beta.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (study.read([write_run(tmp_path / str(seed), seed, wrong=1)]) for seed in (0, 1))
    with pytest.raises(ValueError, match="no seed and fold in common"):
        study.difference(first, second)
    with pytest.raises(ValueError, match="seed and fold are there already"):
        study.read([tmp_path / "0", tmp_path / "0"])
    with pytest.raises(SystemExit):
        study.main([f"a={tmp_path / '0'}", "--against", "b", "-o", str(tmp_path / "x")])
    assert "--against b: none of a" in capsys.readouterr().err

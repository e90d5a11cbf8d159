from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from example_metrics import example

from sercli.evaluation.lines import lines, table

NOT_LISTED = {"bins", "abstain", "clean"}  # curves, and what stands elsewhere as it is


def figures(part: Any) -> list[float]:
    """Every measured value of metrics.json that is a number or a figure with an interval."""
    if not isinstance(part, dict):
        return []
    found = [part[key] for key in ("value", "ua", "points", "difference", "p", "mean", "std") if _number(part.get(key))]
    for key, inner in part.items():
        for item in inner if isinstance(inner, list) else [inner]:
            found += figures(item) if key not in NOT_LISTED else []
    return found


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def test_every_figure_is_a_line_and_no_line_comes_twice() -> None:
    metrics = example()
    found = list(lines(metrics))
    names = Counter((line["metric"], line["of"]) for line in found)
    assert names.most_common(1)[0][1] == 1
    # a figure's place is its name, so values are counted: none is lost, none is there twice
    del metrics["robustness"]["clean"]
    for cell in metrics["robustness"]["cells"]:
        del cell["value"]  # the level
    for gap in [column["gap"] for column in metrics["groups"]["columns"].values()]:
        gap and gap.pop("points")  # of which the largest is listed
    parts = ("figures", "folds", "over_folds", "calibration", "groups", "robustness", "against", "pairs")
    wanted = Counter(value for part in parts for value in figures(metrics[part]))
    given = Counter(line["value"] for line in found if line["value"] is not None)
    assert not wanted - given


def test_intervals_clips_and_units_stand_beside_the_figure() -> None:
    metrics = example()
    found = {(line["metric"], line["of"]): line for line in lines(metrics)}
    ua, fear = metrics["figures"]["ua"], metrics["figures"]["recall"]["fear"]
    assert found["UA", ""] == {
        **{"metric": "UA", "of": "", "value": ua["value"], "low": ua["low"], "high": ua["high"]},
        **{"unit": "%", "clips": 720, "seen": "unseen"},
    }
    assert (found["recall", "fear"]["value"], found["recall", "fear"]["clips"]) == (fear["value"], 90)
    assert found["without an answer", "silence, counted wrong"]["value"] == 1
    assert found["UA", "rain 0 dB"]["low"] is not None
    assert found["UA", "fold 1"]["value"] == 61.0
    assert found["UA", "emodb to tess"]["clips"] == 720
    assert found["file", "model.onnx"]["unit"] == "byte"
    assert [line["metric"] for line in lines(metrics)][:3] == ["UA", "WA", "macro F1"]  # what people ask for first


def test_clips_are_those_with_a_label() -> None:
    metrics = example()
    metrics["data"]["utterances"] += 100  # that have ratings only
    assert next(lines(metrics))["clips"] == 720


@pytest.mark.parametrize(
    ("status", "mark"), [("seen", "  SEEN"), ("partly seen", "  PARTLY SEEN"), ("unseen", ""), ("unknown", "")]
)
def test_every_line_says_if_the_speakers_are_known(status: str, mark: str) -> None:
    metrics = example(seen=status)
    assert {line["seen"] for line in lines(metrics)} == {status}
    rows = table(metrics).splitlines()
    assert all(row.endswith(mark) for row in rows)
    assert mark or not any("SEEN" in row for row in rows)


def test_a_comparison_is_marked_for_either_side() -> None:
    metrics = example()
    metrics["against"]["seen"] = {"status": "seen"}
    marked = [line["metric"] for line in lines(metrics) if line["seen"] == "seen"]
    p, (ua, wa) = "p of that difference", [f"{name} of nano@ba9876543210 less this" for name in ("UA", "WA")]
    assert marked == [ua, p, wa, p]
    assert sum(row.endswith("SEEN") for row in table(metrics).splitlines()) == 4
    metrics["seen"]["status"] = "partly seen"
    assert [line["seen"] for line in lines(metrics)][-1] == "seen"
    del metrics["against"]["seen"]  # a predictions.csv cannot say
    assert [line["seen"] for line in lines(metrics)][-1] == "partly seen"


def test_columns_are_aligned() -> None:
    rows = table(example()).splitlines()
    assert len(rows) == len(list(lines(example())))
    recalls = [
        row for row in rows if row.startswith(("UA ", "WA ", "recall ")) and " % " in row and row.endswith(" clips")
    ]
    assert len(recalls) > 30
    assert len({row.rindex(" %") for row in recalls}) == len({len(row) for row in recalls}) == 1
    assert len({row.rindex("(") for row in recalls if "(" in row}) == 1
    assert not any(row != row.rstrip() for row in rows)
    assert any("1,200,000 byte" in row for row in rows)
    assert "none" in table(example(speakers=3))  # no p with so few speakers


def test_what_was_not_measured_makes_no_line() -> None:
    bare = {"seen": {"status": "unseen"}, "data": {"utterances": 3}, "figures": {}}
    assert (list(lines(bare)), table(bare)) == ([], "")
    bare["figures"] = {"ua": {"value": 50.0, "low": None, "high": None}, "recall": {"sad": {"value": 50.0, "clips": 4}}}
    assert table(bare) == "UA           50.0 %    4 clips\nrecall  sad  50.0 %    4 clips"

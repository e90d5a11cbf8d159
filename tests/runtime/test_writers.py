"""What is printed: scores that sum to one, valid CSV and JSON, segments other tools read."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sercli.runtime.prediction import Prediction
from sercli.runtime.rows import Row, six_decimals
from sercli.runtime.segments import Segment, audacity, segments, srt, textgrid
from sercli.runtime.writers import Csv, Json, JsonLines, Table

SCORES = {"sad": "0.900000", "angry": "0.100000"}
OK = Row("a.wav", "0.000", "1.500", "sad", "0.900000", SCORES, {}, "tiny@1", "1.500", "ok", None)
SILENT = Row("b.wav", "0.000", "1.000", None, None, {}, {}, "tiny@1", "1.000", "silence", None)
ERROR = Row('c, "x"\n.wav', None, None, None, None, {}, {}, "tiny@1", None, "error", "no such file; check the path")


@given(st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=12))
def test_printed_scores_sum_to_one(weights: list[float]) -> None:
    scores = {str(index): weight / sum(weights) for index, weight in enumerate(weights)}
    printed = six_decimals(scores)
    assert sum(map(Decimal, printed.values())) == 1
    assert all(abs(float(printed[label]) - scores[label]) <= 1e-6 for label in scores)


def test_largest_remainder_rounds_up() -> None:
    assert list(six_decimals({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}).values()) == ["0.333334", "0.333333", "0.333333"]
    assert six_decimals({"a": 1.0, "b": 0.0}) == {"a": "1.000000", "b": "0.000000"}


def test_json_lines() -> None:
    line = JsonLines().row(OK, first=True)
    assert line == (
        '{"path": "a.wav", "start": 0.000, "end": 1.500, "label": "sad", "score": 0.900000, '
        '"scores": {"sad": 0.900000, "angry": 0.100000}, "model": "tiny@1", "seconds": 1.500, '
        '"status": "ok", "error": null}\n'
    )
    assert json.loads(JsonLines().row(ERROR, first=False))["path"] == ERROR.path


def test_ratings_stand_after_the_scores() -> None:
    from dataclasses import replace

    rated = replace(OK, dimensions={"arousal": "0.700000", "valence": "0.200000", "dominance": "0.500000"})
    values = json.loads(JsonLines().row(rated, True))
    assert list(values)[5:9] == ["scores", "arousal", "valence", "dominance"]
    names = ("arousal", "valence", "dominance")
    writer = Csv(["sad", "angry"], names)
    rows = list(csv.DictReader((writer.head() + writer.row(rated, True) + writer.row(ERROR, False)).splitlines(True)))
    assert (rows[0]["valence"], rows[1]["valence"]) == ("0.200000", "")
    table = Table(["sad"], False, names)
    head, line, silent = table.head(), table.row(rated, True), table.row(SILENT, False)
    assert head.index("file") == line.index("a.wav") == silent.index("b.wav")
    assert line[head.index("valence") :].startswith("0.200")


def test_json_array() -> None:
    writer = Json()
    assert json.loads(writer.head() + writer.tail()) == []
    text = writer.head() + writer.row(OK, True) + writer.row(SILENT, False) + writer.row(ERROR, False) + writer.tail()
    rows = json.loads(text)
    assert [row["status"] for row in rows] == ["ok", "silence", "error"]
    assert rows[1]["label"] is None


def test_names_in_any_script_or_none() -> None:
    from dataclasses import replace

    assert "zażółć" in JsonLines().row(replace(OK, path="zażółć.wav"), True)
    broken = JsonLines().row(replace(OK, path="\udcff.wav"), True)
    assert broken.isascii()
    assert json.loads(broken)["path"] == "\udcff.wav"


def test_csv() -> None:
    writer = Csv(["sad", "angry"])
    rows = list(csv.DictReader((writer.head() + writer.row(OK, True) + writer.row(ERROR, False)).splitlines(True)))
    assert list(rows[0]) == [
        *("path", "start", "end", "label", "score", "score_sad", "score_angry"),
        *("model", "seconds", "status", "error"),
    ]
    assert rows[0]["score_angry"] == "0.100000"
    assert rows[1]["path"] == ERROR.path
    assert rows[1]["score"] == ""


def test_table_lines_up() -> None:
    table = Table(["sad", "angry"], timeline=False)
    lines = [table.head(), *(table.row(row, False) for row in (OK, SILENT, ERROR))]
    assert all(line.count("\n") == 1 for line in lines)
    column = lines[0].index("file")
    assert [line[column:].split(".wav")[0].strip() for line in lines[1:]] == ["a", "b", 'c, "x"']


def window(start: float, end: float, label: str, score: float = 0.8) -> Prediction:
    return Prediction(label, score, {}, start, end, silence=not label)


def test_segments_part_half_way_and_merge() -> None:
    timeline = [
        window(0, 3, "sad", 0.6),
        window(1, 4, "sad", 0.9),
        window(2, 5, "angry"),
        window(3, 6, ""),
        window(4, 6.5, ""),
    ]
    found = list(segments(timeline))
    assert [(s.start, s.end, s.label) for s in found] == [(0, 3, "sad"), (3, 4, "angry"), (4, 6.5, "")]
    assert found[0].score == pytest.approx((0.6 * 2 + 0.9) / 3)


def test_segments_keep_gaps() -> None:
    found = list(segments([window(0, 1, "sad"), window(5, 6, "sad")]))
    assert [(s.start, s.end) for s in found] == [(0, 1), (5, 6)]


FOUND = [Segment(0, 1.2345, "sad", 0.9), Segment(1.2345, 2, "", 0), Segment(2.5, 3661.0, 'so "so"', 0.5)]


def test_srt() -> None:
    assert srt(FOUND) == (
        '1\n00:00:00,000 --> 00:00:01,234\nsad (0.90)\n\n2\n00:00:02,500 --> 01:01:01,000\nso "so" (0.50)\n\n'
    )


def test_audacity() -> None:
    assert audacity(FOUND) == '0.000\t1.234\tsad\n2.500\t3661.000\tso "so"\n'


def test_textgrid_is_what_praat_reads() -> None:
    text = textgrid(FOUND)
    assert text.startswith(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3661.000\ntiers? <exists>\n'
    )
    intervals = re.findall(r'xmin = ([\d.]+)\n +xmax = ([\d.]+)\n +text = "(.*)"', text)
    assert intervals == [
        ("0.000", "1.234", "sad"),
        ("1.234", "2.000", ""),
        ("2.000", "2.500", ""),
        ("2.500", "3661.000", 'so ""so""'),
    ]
    assert f"intervals: size = {len(intervals)}\n" in text

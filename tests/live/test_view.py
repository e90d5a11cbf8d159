"""The screen as text: what stands where, at every size, with and without colour and Unicode."""

from __future__ import annotations

import re

import pytest

from sercli.live.lines import PlainLines, Summary, clock, json_line
from sercli.live.view import Style, View
from tests.live.voice import hop

PLAIN = Style(colour=False, unicode=False)
FULL = Style(colour=True, unicode=True)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def view(*labels: str, hop_seconds: float = 1.0, dimensions: tuple[str, ...] = ()) -> View:
    """One hop per second with these labels."""
    made = View("tiny listens to a test", ("happy", "sad"), dimensions, hop_seconds)
    for second, label in enumerate(labels, start=1):
        made.heard(-30.0, float(second))
        made.hop(hop(label, float(second), dimensions=dict.fromkeys(dimensions, 0.25) if label else {}))
    return made


def test_a_screen() -> None:
    lines = view(*["happy"] * 5, *[""] * 3, *["sad"] * 2).lines(80, 24, PLAIN)
    assert lines[0] == "tiny listens to a test" + " " * (79 - 22 - 9) + "0:00:10.0"
    assert lines[2].split() == ["level", "-30", "#" * 30]
    assert lines[4] == "sad  0.90"
    happy, sad = (next(line for line in lines[6:] if line.startswith(name)) for name in ("happy", "sad"))
    assert happy.split()[:3] == ["happy", "0.10", "##"]
    assert sad.split()[:3] == ["sad", "0.90", "#" * 20]
    assert happy.endswith("  ####  ..")  # four cells of happy, two of nothing, two of sad
    assert sad.endswith("  ....  ##")
    assert lines[-1] == "Ctrl-C ends"
    assert all(len(line) <= 80 for line in lines)


def test_history_moves_by_whole_cells() -> None:
    """A minute of 60 seconds in 44 cells: what was drawn only moves to the left."""

    def drawn(count: int) -> str:
        line = next(
            line for line in view(*["happy", "", "sad"] * count).lines(80, 24, PLAIN) if line.startswith("happy")
        )
        return line[len("happy 0.00  ") + 22 + 2 :]

    for count in range(2, 40):
        before, after = drawn(count).rstrip(), drawn(count + 1).rstrip()
        kept = before[-20:-1].strip()
        assert kept in after


def test_history_forgets() -> None:
    line = next(line for line in view("happy", *[""] * 80).lines(80, 24, PLAIN) if line.startswith("happy"))
    assert line == "happy"


@pytest.mark.parametrize("columns", [10, 20, 39, 40, 41, 60, 80, 81, 132, 250])
@pytest.mark.parametrize("rows", [3, 8, 12, 24, 60])
@pytest.mark.parametrize("style", [PLAIN, FULL], ids=["plain", "full"])
def test_every_size(columns: int, rows: int, style: Style) -> None:
    shown = view(*["happy", "sad", "", "uncertain"] * 20, dimensions=("arousal", "valence", "dominance"))
    shown.note = "a note that is rather long, longer than some screens are wide"
    lines = shown.lines(columns, rows, style)
    assert len(lines) <= rows
    if columns >= 20:
        assert all(len(ESCAPES.sub("", line)) <= columns for line in lines)
    if rows >= 12 and columns >= 60:
        assert {"happy", "sad", "level", "arousal", "valence", "dominance", "a"} <= {
            ESCAPES.sub("", line).split()[0] for line in lines if line.strip()
        }


def test_colour_only_where_wanted() -> None:
    assert "\x1b" not in "".join(view("happy").lines(80, 24, Style(colour=False, unicode=True)))
    assert "\x1b[1;38;5;" in view("happy").lines(80, 24, FULL)[4]
    assert all(ord(letter) < 128 for letter in "".join(view("happy", "sad").lines(80, 24, PLAIN)))


def test_words() -> None:
    assert view().lines(80, 24, PLAIN)[4] == "waiting for sound ..."
    started = view()
    started.heard(-50.0, 0.5)
    assert started.lines(80, 24, PLAIN)[4] == "listening ..."
    assert view("happy", "").lines(80, 24, PLAIN)[4] == "no speech"
    assert view("uncertain").lines(80, 24, PLAIN)[4] == "uncertain  0.90  (sad?)"


def test_wide_names_stay_in_line() -> None:
    shown = View("t", ("喜び", "sad"), (), 1.0)
    rows = [line for line in shown.lines(80, 24, PLAIN) if line.startswith(("喜び", "sad"))]
    assert rows == ["喜び", "sad"]
    assert View("喜" * 60, ("a",), (), 1.0).lines(80, 24, PLAIN)[0].startswith("喜" * 34)


def test_meter_falls_slowly() -> None:
    shown = View("t", ("a", "b"), (), 1.0)
    levels = []
    for seconds, level in [(1.0, -20.0), (1.1, -70.0), (1.2, -70.0), (1.3, -10.0)]:
        shown.heard(level, seconds)
        levels.append(int(shown.lines(80, 24, PLAIN)[2].split()[1]))
    assert levels == [-20, -23, -26, -10]


def test_bars() -> None:
    assert FULL.bar(0.5, 4) == "██  "
    assert FULL.bar(1 / 32, 4) == "▏   "
    assert FULL.bar(2.0, 2) == "██"
    assert PLAIN.bar(0.5, 4) == "##  "


def test_json_line() -> None:
    line = json_line(hop("happy", 4.0, dimensions={"arousal": 0.5}))
    assert line == (
        '{"time": "2026-01-02T03:04:05.000Z", "start": 1.000, "end": 4.000, "speech": true, "label": "happy", '
        '"score": 0.900000, "scores": {"happy": 0.900000, "sad": 0.100000}, '
        '"smoothed": {"happy": 0.900000, "sad": 0.100000}, "arousal": 0.500000, "level_db": -30.0, "latency_ms": 5.0}\n'
    )
    assert '"speech": false, "label": null, "score": null, "scores": {}, "smoothed": {}' in json_line(hop("", 4.0))
    assert '"label": "uncertain", "score": 0.900000' in json_line(hop("uncertain", 4.0))


def test_plain_lines() -> None:
    lines = PlainLines()
    told = [
        lines.line(hop(label, end)) for label, end in [("", 3), ("sad", 4), ("sad", 5), ("", 6), ("happy", 3_725.25)]
    ]
    assert told == ["", "0:00:04.0  sad 0.90\n", "", "0:00:06.0  no speech\n", "1:02:05.2  happy 0.90\n"]


def test_summary() -> None:
    summary = Summary(0.25)
    for label in ["", "", "sad", "happy", "happy", "uncertain"]:
        summary.count(hop(label, 1.0))
    assert summary.text(4.25) == "0:00:04.2 heard: happy 0.5 s, sad 0.2 s, uncertain 0.2 s, nothing claimed 3.2 s"
    assert summary.text(4.25, 0.46).endswith("; 0.5 s of input were lost")


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.0, 59.96, 3_599.99, 86_400.0)] == [
        "0:00:00.0", "0:01:00.0", "1:00:00.0", "24:00:00.0",
    ]  # fmt: skip

"""What the live screen shows, as lines of text: no terminal in here."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sercli.labels import COLOURS
from sercli.live.lines import clock
from sercli.runtime.prediction import UNCERTAIN

if TYPE_CHECKING:
    from sercli.live.session import Hop

HISTORY_SECONDS = 60.0
QUIETEST_DBFS = -60.0  # left end of the level meter
FALL_DB_PER_SECOND = 30.0  # the meter jumps up, and falls slowly enough to be read
LEAST_HISTORY_COLUMNS = 16  # less says nothing
BAR_SHARE = 3  # of the columns that label and figure leave, one in three is the bar's, the others the history's
WIDEST_BAR = 30


@dataclass(frozen=True)
class Style:
    """What a terminal can show."""

    colour: bool
    unicode: bool

    @property
    def levels(self) -> str:
        """Characters from nothing to a full cell, for the history."""
        return " ▁▂▃▄▅▆▇█" if self.unicode else " .:-=+*#@"

    @property
    def parts(self) -> str:
        """Characters from nothing to a full cell, for bars."""
        return " ▏▎▍▌▋▊▉█" if self.unicode else " #"

    def paint(self, text: str, colour: str = "", bold: bool = False, dim: bool = False) -> str:
        """Wrap a text in colour (#RRGGBB, from the terminal's palette of 256) and weight."""
        if not self.colour or not text.strip():
            return text
        codes = ["1"] * bold + ["2"] * dim
        if colour:
            codes.append(f"38;5;{_palette(colour)}")
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text

    def bar(self, share: float, cells: int) -> str:
        """A bar of so many cells, filled up to a share of 0 to 1."""
        full = self.parts[-1]
        steps = round(min(max(share, 0.0), 1.0) * cells * (len(self.parts) - 1))
        whole, part = divmod(steps, len(self.parts) - 1)
        return (full * whole + (self.parts[part] if part else "")).ljust(cells)


class View:
    """Gathers what comes and lays it out.

    Args:
        title: one line about who listens to what
        classes: in the student's order
        dimensions: arousal, valence and dominance, if the student gives them
        hop_seconds: what a hop stands for
    """

    def __init__(self, title: str, classes: tuple[str, ...], dimensions: tuple[str, ...], hop_seconds: float) -> None:
        self._title, self._classes, self._dimensions, self._hop_seconds = title, classes, dimensions, hop_seconds
        self._hops: deque[Hop] = deque(maxlen=max(math.ceil(HISTORY_SECONDS / hop_seconds) + 2, 2))
        self._level_db, self._seconds = -math.inf, 0.0
        self.note = ""
        """a message, shown until the next"""

    def hop(self, hop: Hop) -> None:
        """Take a result."""
        self._hops.append(hop)

    def heard(self, level_db: float, seconds: float) -> None:
        """Take the level in dBFS, and how much was heard so far."""
        fallen = self._level_db - FALL_DB_PER_SECOND * (seconds - self._seconds)
        self._level_db, self._seconds = max(level_db, fallen), seconds

    def lines(self, columns: int, rows: int, style: Style) -> list[str]:
        """Lay out a screen: at most `rows` lines of at most `columns` cells, what matters most kept longest."""
        last = self._hops[-1] if self._hops else None
        figures = {**last.smoothed, **last.dimensions} if last else {}
        names = (*self._classes, *self._dimensions)
        width = max(_cells(name) for name in (*names, "level"))
        rest = columns - width - len(" 0.00  ") - 1
        bar_cells = max(min(rest // BAR_SHARE, WIDEST_BAR), 1)
        history_cells = rest - bar_cells - 2
        if history_cells < LEAST_HISTORY_COLUMNS:
            bar_cells, history_cells = max(rest, 1), 0

        def row(name: str, value: float | None, colour: str, history: str) -> str:
            figure = "    " if value is None else f"{value:.2f}"
            bold = last is not None and last.label == name
            bar = style.paint(style.bar(value or 0.0, bar_cells), colour)
            return f"{style.paint(_fit(name, width), bold=bold)} {figure}  {bar}  {history}".rstrip()

        body = [
            row(name, figures.get(name), COLOURS.get(name, ""), self._history(name, history_cells, style))
            for name in names
        ]
        axis = _fit("", width + len(" 0.00  ") + bar_cells + 2) + _axis(history_cells) if history_cells else ""
        time = clock(self._seconds)
        title = _fit(self._title, max(columns - len(time) - 3, 0)) + "  " + time
        level = f"{_fit('level', width)} {self._level_text()}  {style.bar(self._share(), min(rest, 2 * WIDEST_BAR))}"
        spread = [
            title,
            "",
            level,
            "",
            self._headline(columns, style),
            "",
            *body,
            style.paint(axis, dim=True),
            "",
            self.note,
        ]
        ending = style.paint("Ctrl-C ends", dim=True)
        lines = [*spread, ending]
        if len(lines) > rows:
            lines = [line for line in lines if line]
        if len(lines) > rows:
            lines = [self._headline(columns, style), level, *body, self.note][:rows]
        return [line if "\x1b" in line else _fit(line, columns).rstrip() for line in lines]

    def _headline(self, columns: int, style: Style) -> str:
        """Say what is claimed now, in words."""
        last = self._hops[-1] if self._hops else None
        if last is None:
            return "listening ..." if self._seconds else "waiting for sound ..."
        if not last.label:
            return style.paint("no speech", dim=True)
        text = f"{last.label}  {last.score:.2f}"
        if last.label == UNCERTAIN:
            text += f"  ({max(last.smoothed, key=last.smoothed.__getitem__)}?)"
        return style.paint(_fit(text, columns).rstrip(), COLOURS.get(last.label, ""), bold=True)

    def _share(self) -> float:
        return 1.0 - self._level_db / QUIETEST_DBFS if self._level_db > QUIETEST_DBFS else 0.0

    def _level_text(self) -> str:
        return f"{max(self._level_db, -99.0):4.0f}" if self._level_db > -math.inf else "    "

    def _history(self, name: str, cells: int, style: Style) -> str:
        """Draw a class's smoothed probability over the last minute, brighter where it is the label; or a dimension.

        Cells stand for fixed stretches of time, so that what is drawn moves by whole cells and never changes.
        """
        if not cells:
            return ""
        step = HISTORY_SECONDS / cells
        newest = int(self._seconds / step)
        ends = [hop.end for hop in self._hops]
        drawn: list[str] = []
        bright: list[bool] = []
        for cell in range(newest - cells + 1, newest + 1):
            # the hop that ends last in this stretch, or covers it
            at = bisect_right(ends, (cell + 1) * step) - 1
            hop = self._hops[at] if at >= 0 else None
            value = None
            if hop is not None and hop.end + self._hop_seconds > cell * step:
                value = hop.smoothed.get(name, hop.dimensions.get(name))
            drawn.append(" " if value is None else style.levels[max(round(value * (len(style.levels) - 1)), 1)])
            bright.append(hop is not None and (hop.label == name or name in hop.dimensions))
        return _runs(drawn, bright, COLOURS.get(name, ""), style)


def _runs(drawn: list[str], bright: list[bool], colour: str, style: Style) -> str:
    """Paint neighbours of the same brightness together."""
    text, begin = "", 0
    for at in range(1, len(drawn) + 1):
        if at == len(drawn) or bright[at] != bright[begin]:
            text += style.paint("".join(drawn[begin:at]), colour, dim=not bright[begin])
            begin = at
    return text


def _axis(cells: int) -> str:
    left, right = f"{HISTORY_SECONDS:.0f} s ago", "now"
    return left + " " * max(cells - len(left) - len(right), 1) + right


def _palette(colour: str) -> int:
    """Nearest colour of the 6 x 6 x 6 cube of the xterm palette; black and greys become the grey of the terminal."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    if max(red, green, blue) - min(red, green, blue) < 16:
        return 248
    return 16 + 36 * round(red / 51) + 6 * round(green / 51) + round(blue / 51)


def _cells(text: str) -> int:
    """Width on a terminal: wide characters take two cells, combining ones none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _fit(text: str, cells: int) -> str:
    """Cut or pad a text without escapes to a width."""
    while _cells(text) > cells:
        text = text[:-1]
    return text + " " * (cells - _cells(text))

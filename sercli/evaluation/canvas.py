"""What the pictures of a report share: heading, style, colours, and rows of dots with intervals."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

DPI = 150
INK, QUIET, FAINT, WARNING = "#222222", "#5F5F5F", "#D9D9D9", "#B00020"
BLUE, VERMILION = "#0072B2", "#D55E00"
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#882255")
"""Colours of lines, in order: the colour-blind-safe palette of Okabe and Ito, with a grey and a wine for its yellow
and black, of which one is hard to see on white and the other is the ink."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
"""One more thing than colour to tell lines and classes apart by."""
STYLE = {
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
"""On top of matplotlib's own defaults; a reader's matplotlibrc changes no picture."""

SMALL = 7.5  # points, of notes and side texts
LINE_INCHES = 0.17  # of the small print
CHARACTERS_PER_INCH = 17  # of the small print, on average


def seen_warning(metrics: Mapping[str, Any]) -> str:
    """Return what must stand over every figure of a model that trained on test speakers, or an empty string."""
    status = (metrics.get("seen") or {}).get("status")
    words = {
        "seen": "SEEN IN TRAINING",
        "partly seen": "PARTLY SEEN IN TRAINING",
        "leaks": "SPEAKERS ON BOTH SIDES",
        "transductive": "TEST SPEAKERS HEARD WITHOUT LABELS",
    }
    return words.get(status or "", "")


def subject(metrics: Mapping[str, Any]) -> str:
    """Return model, data and their size in a line: `micro on ravdess (ravdess-emobox6), 1,440 clips, 24 speakers`."""
    model, data = metrics.get("model") or {}, metrics.get("data") or {}
    line = f"{model.get('name') or 'model'} on {', '.join(data.get('corpora') or ['a table'])}"
    if data.get("protocol"):
        line += f" ({data['protocol']})"
    for key, word in (("utterances", "clip"), ("speakers", "speaker")):
        if data.get(key):
            line += f", {count(data[key], word)}"
    return line


def count(number: int, word: str) -> str:
    """Return a number with its noun: `1 clip`, `1,440 clips`, `5 classes`."""
    plural = word + ("es" if word.endswith("s") else "s")
    return f"{number:,} {word if number == 1 else plural}"


def interval(figure: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Return the bounds of a figure, or None where there were too few speakers for an interval."""
    if not figure or figure.get("low") is None or figure.get("high") is None:
        return None
    return float(figure["low"]), float(figure["high"])


def level_of(metrics: Mapping[str, Any]) -> str:
    """Return the coverage of the intervals: `95 %`."""
    return f"{100 * (metrics.get('bootstrap') or {}).get('level', 0.95):.0f} %"


def chance(classes: int) -> float:
    """UA in percent of a model that does not listen."""
    return 100.0 / classes


def classes_of(metrics: Mapping[str, Any]) -> list[str]:
    """Return the evaluated classes in their order."""
    data = metrics.get("data") or {}
    return list(data.get("labels") or (metrics.get("model") or {}).get("labels") or ())


def limits(values: Iterable[float | None]) -> tuple[float, float]:
    """Return ends of an axis in percent, at whole tens with a little room around the values, within 0 to 100."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=100.0)
    return max(10.0 * math.floor((low - 2) / 10), 0.0), min(10.0 * math.ceil((high + 2) / 10), 100.0)


def spread(values: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Move the places of labels apart until neighbours keep a gap, as little as that takes.

    The mean of pushing everything up and pushing everything down keeps the gap as both do, and stays centred.

    Args:
        values: where the labels want to be, ascending
        gap: least distance

    Returns:
        where they go, ascending, shape (labels,)
    """
    steps = gap * np.arange(len(values))
    level = np.asarray(values, np.float64) - steps
    up, down = np.maximum.accumulate(level), np.minimum.accumulate(level[::-1])[::-1]
    return np.asarray((up + down) / 2 + steps, np.float64)


def blank(metrics: Mapping[str, Any], title: str, width: float, height: float, note: str = "") -> Figure:
    """Make a figure with its heading: title, subject, the warning where test speakers were seen, a note at the foot.

    Args:
        metrics: of the evaluation
        title: what the picture shows
        width: inches
        height: inches between heading and note
        note: how to read it

    Returns:
        the figure, whose layout keeps axes out of heading and note
    """
    from matplotlib.figure import Figure

    columns = int((width - 0.2) * CHARACTERS_PER_INCH)
    warning, about, notes = (
        seen_warning(metrics),
        textwrap.wrap(subject(metrics), columns),
        textwrap.wrap(note, columns),
    )
    head = 0.4 + LINE_INCHES * len(about) + (0.26 if warning else 0.0)
    foot = 0.12 + LINE_INCHES * len(notes)
    total = head + height + foot
    figure = Figure(figsize=(width, total), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.1 / width, foot / total, 1 - 0.2 / width, height / total))  # type: ignore[call-arg]
    left, top = 0.12 / width, total - 0.1
    if warning:
        figure.text(left, top / total, warning, color=WARNING, weight="bold", size=11, va="top")
        top -= 0.26
    figure.text(left, top / total, title, weight="bold", size=11, va="top")
    small: dict[str, Any] = {"size": SMALL + 0.5, "color": QUIET, "va": "top", "linespacing": 1.3}
    figure.text(left, (top - 0.23) / total, "\n".join(about), **small)
    if notes:
        small = small | {"size": SMALL, "va": "bottom"}
        figure.text(left, 0.08 / total, "\n".join(notes), **small)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG under a temporary name first, so that no reader finds half of one."""
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, dpi=DPI, format="png", metadata={"Software": None})
    partial.replace(path)


def dots(
    axes: Axes,
    names: Sequence[str],
    figures: Sequence[Mapping[str, Any]],
    key: str,
    places: Sequence[float] | None = None,
    upright: bool = False,
) -> None:
    """Draw one row per figure from the top down: name, dot, and a line for the interval where there is one.

    Args:
        axes: to draw in
        names: of the rows
        figures: with `low` and `high` in percent, and `hollow` where the dot is to stay empty
        key: of the value in a figure; null leaves the row empty
        places: of the rows, 0, 1, 2, ... if not given
        upright: columns from the left instead of rows
    """
    places = range(len(names)) if places is None else places
    line = axes.vlines if upright else axes.hlines
    for place, figure in zip(places, figures, strict=True):
        bounds = interval(figure)
        if bounds:
            line(place, *bounds, color=BLUE, linewidth=1.8, alpha=0.5, clip_on=False)
        if figure[key] is not None:
            at = (place, figure[key]) if upright else (figure[key], place)
            face = "white" if figure.get("hollow") else BLUE
            axes.plot(*at, "o", markersize=5, color=BLUE, markerfacecolor=face, clip_on=False)
    ends = min(places) - 0.6, max(places) + 0.6
    if upright:
        axes.set_xticks(places, names)
        axes.set_xlim(ends)
    else:
        axes.set_yticks(places, names)
        axes.set_ylim(ends[::-1])
    axes.tick_params(axis="x" if upright else "y", length=0)
    axes.grid(axis="y" if upright else "x")


def side_texts(axes: Axes, texts: Sequence[str], x: float = 1.02, head: str = "") -> None:
    """Write a column of small texts beside the rows of `dots`, `x` in widths of the axes, right-aligned."""
    place: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "size": SMALL,
        "color": QUIET,
        "ha": "right",
        "va": "center",
    }
    for row, text in enumerate(texts):
        axes.text(x, row, text, **place)
    if head:
        axes.text(x, 1.0, head, **place | {"transform": axes.transAxes, "va": "bottom"})


def key_above(axes: Axes, columns: int = 2, height: float = 1.0) -> None:
    """Put the legend above the axes, where it can hide nothing, at a height in heights of the axes."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, height), ncols=columns, borderaxespad=0.2, handlelength=1.8)


def reference_lines(line: Callable[..., Any], name: str, ua: float | None, classes: int) -> None:
    """Draw what to compare with, the UA of all clean clips and chance, by `axes.axhline` or `axes.axvline`."""
    if ua is not None:
        line(ua, color=INK, linewidth=1.2, linestyle="--", zorder=1, label=f"{name} {ua:.1f}")
    level = chance(classes)
    line(level, color=QUIET, linewidth=1.2, linestyle=":", zorder=1, label=f"chance {level:.1f}")


def slant(axes: Axes, degrees: float = 40) -> None:
    """Slant the names under the columns, each ending at its own."""
    for label in axes.get_xticklabels():
        label.set(rotation=degrees, ha="right", rotation_mode="anchor")

"""Pictures of UA broken down: by noise and level, and by who speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sercli.evaluation.canvas import (
    BLUE,
    LINES,
    MARKERS,
    SMALL,
    blank,
    chance,
    classes_of,
    dots,
    interval,
    key_above,
    level_of,
    limits,
    reference_lines,
    side_texts,
    slant,
    spread,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAIN = "gain"
"""The one kind of corruption whose decibels are not of speech over noise."""
ROW_INCHES = 0.25
COLUMN_INCHES = 0.36
SPEAKER_INCHES = 0.17
MOST_NAMED = 60  # speakers, above which they are ranked without names


def has_snr(cell: Mapping[str, Any]) -> bool:
    """Tell if a cell of the grid is noise at an SNR (rain at `10 dB`), not a channel (`opus 16 kbit/s`) or a gain."""
    return str(cell.get("level") or "").endswith("dB") and cell["kind"] != GAIN


def robustness(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw UA over SNR, a line per noise, and beside it UA after changes that have no SNR."""
    grid = metrics.get("robustness") or {}
    cells = [cell for cell in grid.get("cells") or () if cell.get("ua") is not None]
    if not cells:
        return None
    noisy, other = [cell for cell in cells if has_snr(cell)], [cell for cell in cells if not has_snr(cell)]
    clean, classes = grid.get("clean") or {}, len(classes_of(metrics))
    drawn = [figure.get(key) for figure in (*cells, clean) for key in ("ua", "low", "high")]
    ends = limits([*drawn, chance(classes)])
    widths = [width for width, there in ((6.2, noisy), (4.8, other)) if there]
    height = max(4.2, ROW_INCHES * len(other) + 1.0)
    note = f"Bands and lines through dots are {level_of(metrics)} intervals." if any(map(interval, cells)) else ""
    figure = blank(metrics, "UA in noise and through channels", sum(widths), height, note)
    parts = list(figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0])
    if noisy:
        axes = parts[0].add_subplot()
        axes.set(ylim=ends, ylabel="UA, %", xlabel="speech over noise (SNR), dB")
        _snr_lines(axes, noisy, gap=(ends[1] - ends[0]) * 0.16 / (height - 0.9))
        reference_lines(axes.axhline, "clean", clean.get("ua"), classes)
        key_above(axes)
    if other:
        axes = parts[-1].add_subplot()
        dots(axes, [f"{cell['kind']} {cell.get('level') or ''}".strip() for cell in other], other, "ua")
        axes.set(xlim=ends, xlabel="UA, %")
        side_texts(axes, [f"{cell['ua']:.1f}" for cell in other], 1.14, "UA")
        reference_lines(axes.axvline, "clean", clean.get("ua"), classes)
        key_above(axes)
    return figure


def groups(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw UA with its interval in each group of each column; the speakers, sorted, below."""
    classes = len(classes_of(metrics))
    columns = {
        name: [
            {**group, "hollow": (group.get("classes") or classes) < classes}
            for group in column["groups"]
            if group.get("ua") is not None
        ]
        for name, column in ((metrics.get("groups") or {}).get("columns") or {}).items()
    }
    columns = {name: members for name, members in columns.items() if members}
    if not columns:
        return None
    everyone = [group for members in columns.values() for group in members]
    speakers = sorted(columns.pop("speaker", []), key=lambda group: -float(group["ua"]))
    spaces = sum(map(len, columns.values())) + len(columns)
    width = min(max(COLUMN_INCHES * spaces, SPEAKER_INCHES * min(len(speakers), MOST_NAMED), 5.5) + 1.0, 12.0)
    note = f"Lines are {level_of(metrics)} intervals." if any(map(interval, everyone)) else ""
    if any(group["hollow"] for group in everyone):
        note += " Hollow: not all classes occur in the group, so compare with care."
    heights = [height for height, there in ((3.3, columns), (2.9, speakers)) if there]
    figure = blank(metrics, "UA by group", width, sum(heights), note.strip())
    ends = limits([*(group.get(key) for group in everyone for key in ("ua", "low", "high")), chance(classes)])
    panels = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    overall = ((metrics.get("figures") or {}).get("ua") or {}).get("value")
    step = 20 if ends[1] - ends[0] > 50 else 10
    for axes in panels:
        axes.set(ylim=ends, yticks=np.arange(-(-ends[0] // step) * step, ends[1] + 1, step), ylabel="UA, %")
        reference_lines(axes.axhline, "all", overall, classes)
    if columns:
        _columns(panels[0], columns)
        key_above(panels[0], height=1.1)
    else:
        key_above(panels[0])
    if speakers:
        if len(speakers) <= MOST_NAMED:
            dots(panels[-1], [str(group["name"]) for group in speakers], speakers, "ua", upright=True)
            slant(panels[-1], 60)
        else:
            panels[-1].plot([group["ua"] for group in speakers], color=BLUE, linewidth=1.8)
            panels[-1].grid(axis="y")
        panels[-1].set_xlabel(f"{len(speakers):,} speakers, best first")
    return figure


def _columns(axes: Axes, columns: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the columns of the table side by side, one free place between them, their names on top."""
    places: list[int] = []
    for name, members in columns.items():
        start = places[-1] + 2 if places else 0
        if places:
            axes.axvline(start - 1, color=axes.spines["left"].get_edgecolor(), linewidth=0.5)
        places += range(start, start + len(members))
        middle = start + (len(members) - 1) / 2
        axes.text(middle, 1.02, name, transform=axes.get_xaxis_transform(), weight="bold", ha="center", va="bottom")
    everyone = [group for members in columns.values() for group in members]
    dots(axes, [str(group["name"]) for group in everyone], everyone, "ua", places, upright=True)
    slant(axes)


def _snr_lines(axes: Axes, cells: Sequence[Mapping[str, Any]], gap: float) -> None:
    """Draw a line per noise with its interval as a band and its name at the end, `gap` apart at least, in UA."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        kinds.setdefault(cell["kind"], []).append(cell)
    ends = []
    for index, (kind, members) in enumerate(kinds.items()):
        members.sort(key=lambda cell: -float(cell["value"]))
        snr, ua = [cell["value"] for cell in members], [cell["ua"] for cell in members]
        low, high = zip(*(interval(cell) or (np.nan, np.nan) for cell in members), strict=True)
        colour, marker = LINES[index % len(LINES)], MARKERS[index % len(MARKERS)]
        axes.fill_between(snr, low, high, color=colour, alpha=0.07, linewidth=0)
        axes.plot(snr, ua, color=colour, marker=marker, markersize=5, linewidth=1.5, clip_on=False)
        ends.append((ua[-1], snr[-1], kind, colour))
    ends.sort()
    for place, (ua_end, snr_end, kind, colour) in zip(spread([end[0] for end in ends], gap), ends, strict=True):
        axes.annotate(
            kind.replace("_", " "),
            (snr_end, ua_end),
            (1.05, place),
            textcoords=axes.get_yaxis_transform(),
            size=SMALL + 0.5,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4},
        )
    axes.set_xticks(sorted({float(cell["value"]) for cell in cells}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.invert_xaxis()
    axes.grid()

"""Pictures of an evaluation: what is confused with what, recalls, calibration, corpora against corpora."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sercli.evaluation.breakdown_plots import groups, robustness
from sercli.evaluation.canvas import (
    BLUE,
    FAINT,
    INK,
    QUIET,
    STYLE,
    VERMILION,
    blank,
    chance,
    classes_of,
    count,
    dots,
    interval,
    key_above,
    level_of,
    limits,
    reference_lines,
    save,
    side_texts,
    slant,
)
from sercli.evaluation.embedding_map import embedding_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

HEAT = "Blues"
"""One hue from light to dark: read alike by everyone, and in grey."""
DARK = 0.62  # share of the scale from which text on it is white
ABSTAIN_NOTE = "Abstaining: clips below a score stay unanswered; UA of the rest is over the classes that are left."
LONG_NAME = 8  # characters, from which names under columns are slanted


def draw(
    metrics: Mapping[str, Any],
    folder: Path,
    embeddings: NDArray[np.floating[Any]] | None = None,
    emotions: Sequence[str] | None = None,
    seed: int = 0,
) -> list[str]:
    """Write the pictures that an evaluation has figures for.

    Args:
        metrics: content of metrics.json; what was not measured is absent or null and makes no picture
        folder: where the PNG files go; made if it is not there
        embeddings: shape (clips, dimensions), for the map of clips
        emotions: true emotion of each clip, of the same length
        seed: of the map

    Returns:
        names of the files written, in the order a report shows them
    """
    from matplotlib import style

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with style.context(["default", STYLE]):
        for name, picture in PICTURES.items():
            figure = picture(metrics)
            if figure is not None:
                save(figure, folder / name)
                written.append(name)
        if embeddings is not None and emotions is not None:
            figure = embedding_map(metrics, embeddings, emotions, seed)
            if figure is not None:
                save(figure, folder / "embedding.png")
                written.append("embedding.png")
    return written


def confusion(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the confusion matrix: per cent of each true class, with the clips counted under it."""
    figures = metrics.get("figures") or {}
    if not figures.get("confusion"):
        return None
    counts = np.asarray(figures["confusion"], np.float64)
    labels = classes_of(metrics)
    clips = [(figures.get("recall") or {}).get(label, {}).get("clips") for label in labels]
    totals = np.array([row.sum() if true is None else true for row, true in zip(counts, clips, strict=True)])[:, None]
    shares = np.full(counts.shape, np.nan)
    np.divide(100.0 * counts, totals, out=shares, where=totals > 0)
    note = "Per cent of the clips of each true class; the clips counted small."
    if figures.get("unanswered"):
        note += f" Rows lack the {count(figures['unanswered'], 'clip')} without an answer."
    cell = 0.66 if len(labels) <= 8 else 0.56
    figure = blank(metrics, "Confusion matrix", len(labels) * cell + 2.4, len(labels) * cell + 0.9, note)
    axes = figure.add_subplot(aspect="equal")
    _heat(axes, shares / 100.0, labels, labels)
    for row, column in np.ndindex(counts.shape):
        if totals[row, 0]:
            share = shares[row, column]
            _cell(
                axes,
                row,
                column,
                float(share) / 100.0,
                f"{share:.0f}",
                f"{counts[row, column]:,.0f}",
                strong=row == column,
            )
    axes.set_xlabel("said by the model")
    axes.set_ylabel("true")
    return figure


def recall(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the recall of each class with its interval, UA and chance."""
    figures = metrics.get("figures") or {}
    recalls, ua = figures.get("recall"), figures.get("ua")
    if not recalls:
        return None
    rows = list(recalls.values())
    note = (
        f"Lines through dots and the band are {level_of(metrics)} intervals." if any(map(interval, [ua, *rows])) else ""
    )
    figure = blank(metrics, "Recall per class", 6.4, 0.32 * len(rows) + 0.95, note)
    axes = figure.add_subplot()
    dots(axes, list(recalls), rows, "value")
    bounds = interval(ua)
    if bounds:
        axes.axvspan(*bounds, color=QUIET, alpha=0.15, linewidth=0)
    reference_lines(axes.axvline, "UA", ua and ua["value"], len(recalls))
    side_texts(axes, ["–" if row["value"] is None else f"{row['value']:.1f}" for row in rows], 1.09, "recall")
    side_texts(axes, [f"{row['clips']:,}" if row.get("clips") is not None else "" for row in rows], 1.2, "clips")
    axes.set_xlim(0, 100)
    axes.set_xlabel("recall, %")
    key_above(axes)
    return figure


def reliability(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw how often the model is right at each confidence, and what is gained by leaving doubtful clips unanswered."""
    calibration = metrics.get("calibration") or {}
    bins, abstain = calibration.get("bins"), calibration.get("abstain")
    if not bins and not abstain:
        return None
    ece = calibration.get("ece")
    title = "Reliability of the scores" + (f", ECE {ece['value']:.1f} %" if ece else "")
    panels = bool(bins) + bool(abstain)
    figure = blank(metrics, title, 4.6 * panels, 4.1, ABSTAIN_NOTE if abstain else "")
    columns = figure.subfigures(1, panels, squeeze=False)[0]
    if bins:
        diagram, strip = columns[0].subplots(2, 1, sharex=True, height_ratios=(4, 1))
        _reliability_diagram(diagram, strip, [one for one in bins if one["clips"]])
    if abstain:
        _abstain_curve(columns[-1].subplots(), abstain, calibration.get("at_threshold"))
    return figure


def cross(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw UA of training on one corpus (rows) and testing on another (columns), coloured by what is above chance."""
    pairs = metrics.get("pairs")
    if not pairs:
        return None
    trained = list(pairs)
    tested = list(dict.fromkeys([*trained, *(name for row in pairs.values() for name in row)]))
    above = np.full((len(trained), len(tested)), np.nan)
    note = (
        "UA in per cent, its interval where there is one, and the number of classes. Colour: UA above chance as a share"
        " of what can be had above chance, since corpora differ in classes."
    )
    figure = blank(metrics, "Trained on one corpus, tested on another", len(tested) + 2.6, 0.8 * len(trained) + 1, note)
    axes = figure.add_subplot()
    cells = {}
    for row, train in enumerate(trained):
        for column, test in enumerate(tested):
            pair = pairs[train].get(test)
            if pair and pair.get("ua") is not None and train != test:
                level = chance(len(pair["labels"]))
                above[row, column] = max(pair["ua"] - level, 0.0) / (100.0 - level)
                bounds = interval(pair)
                lines = [f"{bounds[0]:.0f} to {bounds[1]:.0f}"] if bounds else []
                cells[row, column] = pair["ua"], "\n".join([*lines, count(len(pair["labels"]), "class")])
    _heat(axes, above, trained, tested)
    for (row, column), (ua, small) in cells.items():
        _cell(axes, row, column, float(above[row, column]), f"{ua:.1f}", small)
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    return figure


PICTURES: dict[str, Callable[[Mapping[str, Any]], Figure | None]] = {
    "confusion.png": confusion,
    "recall.png": recall,
    "reliability.png": reliability,
    "robustness.png": robustness,
    "groups.png": groups,
    "cross.png": cross,
}
"""File name to what draws it, in the order of the report."""


def _heat(axes: Axes, shares: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str]) -> None:
    from matplotlib import colormaps

    axes.imshow(shares, cmap=colormaps[HEAT].with_extremes(bad=FAINT), vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_yticks(range(len(rows)), rows)
    slanted = max(map(len, columns), default=0) > LONG_NAME or len(columns) > 8
    axes.set_xticks(range(len(columns)), columns)
    if slanted:
        slant(axes)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def _cell(axes: Axes, row: int, column: int, share: float, big: str, small: str, strong: bool = False) -> None:
    colour = "white" if share > DARK else INK
    weight = "bold" if strong else "normal"
    axes.annotate(big, (column, row), (0, 1), textcoords="offset points", color=colour, weight=weight, ha="center")
    axes.annotate(
        small, (column, row), (0, -2), textcoords="offset points", color=colour, size=6.5, ha="center", va="top"
    )


def _reliability_diagram(diagram: Axes, strip: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    confidence = [one["confidence"] for one in bins]
    accuracy = [one["accuracy"] for one in bins]
    diagram.plot((0, 100), (0, 100), color=QUIET, linestyle=":", label="calibrated")
    diagram.vlines(confidence, confidence, accuracy, color=VERMILION, linewidth=1.2, label="gap")
    diagram.plot(confidence, accuracy, "o-", color=BLUE, markersize=5, linewidth=1.2, clip_on=False, label="the model")
    diagram.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, %")
    diagram.grid()
    key_above(diagram, 3)
    edges, clips = [one["low"] for one in bins], [one["clips"] for one in bins]
    widths = [one["high"] - one["low"] for one in bins]
    strip.bar(edges, clips, widths, align="edge", color=BLUE, alpha=0.35, edgecolor="white")
    for edge, width, number in zip(edges, widths, clips, strict=True):
        if min(widths) >= 6:  # per cent; narrower bars have no room for their number
            strip.text(edge + width / 2, number, f"{number:,}", size=6.5, color=QUIET, ha="center", va="bottom")
    strip.set(xlabel="score of the answer, %", ylabel="clips", ylim=(0, 1.3 * max(clips, default=1)))
    strip.locator_params(axis="y", nbins=2)


def _abstain_curve(axes: Axes, abstain: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None) -> None:
    points = sorted(abstain, key=lambda point: point["coverage"])
    coverage = [point["coverage"] for point in points]
    for key, colour, dashes in (("ua", BLUE, "-"), ("wa", VERMILION, "--")):
        values = [np.nan if point[key] is None else point[key] for point in points]
        axes.plot(coverage, values, dashes, color=colour, linewidth=1.6, clip_on=False, label=key.upper())
    if chosen and chosen.get("coverage") is not None:
        answered = chosen["coverage"]
        label = f"threshold {chosen['threshold']:.2f}, {answered:.0f} % answered"
        axes.axvline(answered, color=INK, linewidth=1, linestyle=":", label=label)
        for key, colour in (("ua", BLUE), ("wa", VERMILION)):
            if chosen.get(key) is not None:
                axes.plot(answered, chosen[key], "o", color=colour, markersize=5, clip_on=False)
    axes.set(xlim=(0, 100), ylim=limits([point[key] for point in points for key in ("ua", "wa")]))
    axes.set(xlabel="answered, % of the clips", ylabel="UA and WA of the answered, %")
    axes.grid()
    key_above(axes, 3)

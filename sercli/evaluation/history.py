"""The picture of a training run: every loss term and the development figures over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sercli.evaluation.canvas import BLUE, LINES, QUIET, SMALL, STYLE, VERMILION, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "history.png"
TERM = "loss_"
ACROSS = 3  # panels side by side


def draw_history(history: Sequence[Mapping[str, float]], folder: Path, name: str) -> bool:
    """Write the picture of a run.

    Args:
        history: of the run's metrics.json: per epoch `epoch`, `loss`, `loss_TERM`, and `eval_ua`, `eval_wa` in 0 to 1
        folder: of the run
        name: heads the picture

    Returns:
        whether there was anything to draw
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    terms = list(dict.fromkeys(key for entry in history for key in entry if key.startswith(TERM)))
    selected = any("eval_ua" in entry for entry in history)
    panels = len(terms) + selected
    if not panels:
        return False
    rows, columns = -(-panels // ACROSS), min(panels, ACROSS)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.4), layout="constrained")
        figure.suptitle(
            f"{name}: loss terms and development figures by epoch", x=0.01, ha="left", size=10, weight="bold"
        )
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        if selected:
            _development(grid[0], history)
        for axes, term, colour in zip(grid[int(selected) :], terms, LINES * len(terms), strict=False):
            seen = [(entry["epoch"], entry[term]) for entry in history if term in entry]
            axes.plot(*zip(*seen, strict=True), color=colour)
            axes.set_title(f"{term.removeprefix(TERM)}, times its weight")
            axes.grid(True)
        for axes in grid[panels:]:
            axes.set_visible(False)
        for axes in grid[max(panels - columns, 0) : panels]:
            axes.set_xlabel("epoch")
            axes.tick_params(labelbottom=True)
        save(figure, folder / PICTURE)
    return True


def _development(axes: Axes, history: Sequence[Mapping[str, float]]) -> None:
    epochs = [entry["epoch"] for entry in history if "eval_ua" in entry]
    for key, label, colour, up in (("eval_ua", "UA", BLUE, 4), ("eval_wa", "WA", VERMILION, -9)):  # up in points
        values = [100.0 * entry[key] for entry in history if key in entry]
        axes.plot(epochs[: len(values)], values, color=colour)
        axes.annotate(label, (epochs[-1], values[-1]), (3, up), textcoords="offset points", color=colour, size=SMALL)
        if key == "eval_ua":
            best = max(range(len(values)), key=values.__getitem__)
            axes.plot(epochs[best], values[best], "o", color=colour)
            text = f"{values[best]:.1f}"
            axes.annotate(
                text, (epochs[best], values[best]), (0, 4), textcoords="offset points", ha="center", color=QUIET
            )
    axes.set_title("development speakers, %")
    axes.grid(True)

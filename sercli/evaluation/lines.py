"""The figures of metrics.json as lines: one per figure, for people and for pipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

NAMES = {"ua": "UA", "wa": "WA", "macro_f1": "macro F1"}
MARKS = {
    "unseen": "",
    "unknown": "",
    "partly seen": "PARTLY SEEN",
    "seen": "SEEN",
    "leaks": "LEAKS",
    "transductive": "TRANSDUCTIVE",
}
"""What stands beside every figure of a model that knows the speakers, the more of them the later."""
CALIBRATION_NAMES = {"ece": ("ECE", "%"), "nll": ("NLL", "nat"), "brier": ("Brier score", "")}


class Line(TypedDict):
    """One figure."""

    metric: str
    of: str
    """Class, dimension, group, fold or noise it is of; empty: of everything."""
    value: float | None
    low: float | None
    """Ends of the confidence interval; None without one."""
    high: float | None
    unit: str
    clips: int | None
    seen: str
    """Whether the model knows the speakers: unseen, partly seen, seen, unknown, leaks by protocol, or transductive."""


def lines(metrics: Mapping[str, Any]) -> Iterator[Line]:
    """Go through the figures of metrics.json, the ones people ask for first.

    Args:
        metrics: as `run.evaluate` makes them; parts that are missing are passed over
    """
    status = metrics["seen"]["status"]
    for line in _figures(metrics):
        yield {**line, "seen": status}
    if against := metrics.get("against"):
        # a comparison is worth no more than the side that knows the speakers better
        either = max(status, against.get("seen", {"status": "unseen"})["status"], key=[*MARKS].index)
        for line in _differences(against):
            yield {**line, "seen": either}


def _figures(metrics: Mapping[str, Any]) -> Iterator[Line]:
    figures = metrics.get("figures", {})
    labelled = sum(recall["clips"] for recall in figures.get("recall", {}).values())
    for key, name in NAMES.items():
        if key in figures:
            yield _line(name, "", figures[key], "%", labelled)
    for label, recall in figures.get("recall", {}).items():
        yield _line("recall", label, recall, "%", recall["clips"])
    if unanswered := figures.get("unanswered"):
        yield _line("without an answer", "silence, counted wrong", {"value": unanswered}, "clips")
    derived = " (derived)" if metrics.get("derived_dimensions") else ""
    for name, found in figures.get("dimensions", {}).items():
        for key in ("ccc", "rmse"):
            yield _line(key.upper(), name + derived, found[key], "", found["clips"])
    if soft := figures.get("soft_cross_entropy"):
        yield _line("soft-label cross-entropy", "", soft, "nat", soft["clips"])
    for key, spread in metrics.get("over_folds", {}).items():
        yield _line(f"{NAMES[key]} over folds", "mean", {"value": spread["mean"]}, "%")
        yield _line(f"{NAMES[key]} over folds", "standard deviation", {"value": spread["std"]}, "%")
    for name, fold in metrics.get("folds", {}).items():
        yield _line("UA", f"fold {name}", {"value": fold["ua"]}, "%", fold["clips"])
    if calibration := metrics.get("calibration"):
        for key, (name, unit) in CALIBRATION_NAMES.items():
            yield _line(name, "", calibration[key], unit)
        yield _line("area under the risk-coverage curve", "", {"value": calibration["aurc"]}, "%")
        if chosen := calibration.get("at_threshold"):
            yield _line("UA", f"scores from {chosen['threshold']:.2f}", {"value": chosen["ua"]}, "%")
            yield _line("coverage", f"scores from {chosen['threshold']:.2f}", {"value": chosen["coverage"]}, "%")
    for column, found in metrics.get("groups", {}).get("columns", {}).items():
        for group in found["groups"]:
            yield _line("UA", f"{column} {group['name']}", {**group, "value": group["ua"]}, "%", group["clips"])
    if gap := metrics.get("groups", {}).get("largest_gap"):
        between = f"{gap['column']} {gap['best']} to {gap['worst']}"
        yield _line("largest gap of UA", between, {"value": gap["points"]}, "points")
    for cell in metrics.get("robustness", {}).get("cells", []):
        yield _line("UA", f"{cell['kind']} {cell['level']}".strip(), {**cell, "value": cell["ua"]}, "%")
    for trained, row in metrics.get("pairs", {}).items():
        for tested, cell in row.items():
            yield _line("UA", f"{trained} to {tested}", {**cell, "value": cell["ua"]}, "%", cell["clips"])
    if mean := metrics.get("over_pairs"):
        yield _line("UA over pairs", "mean", {"value": mean["ua"]}, "%")
    if cost := metrics.get("cost"):
        yield _line("parameters", "", {"value": cost["parameters"]}, "")
        for name, size in cost["files"].items():
            yield _line("file", name, {"value": size}, "byte")
        yield _line("MACs per second of audio", "", {"value": cost["macs_per_second"]}, "")
        yield _line("time to open", "one thread", {"value": cost["load_ms"]}, "ms")
        yield _line("time to label a clip", "one thread", {"value": cost["clip_ms"]}, "ms")
        yield _line("real-time factor", "one thread", {"value": cost["real_time_factor"]}, "")
        yield _line("peak memory", "one thread", {"value": cost["peak_memory_mb"]}, "MB")
        reference = cost["reference"]
        yield _line("time over a matrix product of as many MACs", "", {"value": reference["ratio_to_matmul"]}, "x")
        yield _line("peak memory over the imports'", "", {"value": reference["ratio_to_imports"]}, "x")


def _differences(against: Mapping[str, Any]) -> Iterator[Line]:
    for key in ("ua", "wa"):
        difference = {**against[key], "value": against[key]["difference"]}
        yield _line(f"{NAMES[key]} of {against['model']['id']} less this", "", difference, "points", against["clips"])
        yield _line("p of that difference", NAMES[key], {"value": against[key]["p"]}, "")


def table(metrics: Mapping[str, Any]) -> str:
    """Lay the lines out for people, one figure a line."""
    rows = [
        (
            *(f"{line['metric']}  {line['of']}".strip(), _number(line), line["unit"], _interval(line), _clips(line)),
            MARKS[line["seen"]],
        )
        for line in lines(metrics)
    ]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {between:<{widths[3]}}  "
        f"{clips:>{widths[4]}}  {mark}".rstrip()
        for name, value, unit, between, clips, mark in rows
    )


def _line(metric: str, of: str, figure: Mapping[str, Any], unit: str, clips: int | None = None) -> Line:
    low, high = figure.get("low"), figure.get("high")
    return Line(metric=metric, of=of, value=figure["value"], low=low, high=high, unit=unit, clips=clips, seen="")


def _number(line: Line) -> str:
    return _digits(line["value"], line["unit"]) if line["value"] is not None else "none"


def _interval(line: Line) -> str:
    if line["low"] is None or line["high"] is None:
        return ""
    return f"({_digits(line['low'], line['unit'])} to {_digits(line['high'], line['unit'])})"


def _digits(value: float, unit: str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if unit in {"%", "points", "MB"} else f"{value:,.4g}"


def _clips(line: Line) -> str:
    return f"{line['clips']} clips" if line["clips"] is not None else ""

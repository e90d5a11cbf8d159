"""report.md: an evaluation in words, tables and pictures, saying only what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sercli.evaluation.breakdown_plots import MOST_NAMED, has_snr
from sercli.evaluation.canvas import chance, classes_of, count, interval, level_of, seen_warning
from sercli.evaluation.lines import NAMES

Metrics = Mapping[str, Any]

NONE = "–"
"""In place of a figure that is undefined, or of an interval that too few speakers allow."""
SIGNIFICANT = 0.05  # p below which a test tells two models apart
CAPTIONS = {
    "confusion.png": "Confusion matrix",
    "recall.png": "Recall per class",
    "reliability.png": "Reliability of the scores, and what abstaining buys",
    "robustness.png": "UA in noise and through channels",
    "groups.png": "UA by group",
    "cross.png": "UA of training on one corpus and testing on another",
    "embedding.png": "Map of the embeddings by true emotion",
}
"""Picture to what it shows, for those who cannot see it."""


def write_report(metrics: Metrics, folder: Path, pictures: Sequence[str]) -> None:
    """Write report.md, under a temporary name first.

    Args:
        metrics: content of metrics.json; what was not measured is absent or null and makes no section
        folder: of the report
        pictures: file names in the folder, as `plots.draw` returns them; each is shown in its section
    """
    parts = _heading(metrics)
    for title, section, shown in SECTIONS:
        paragraphs = [paragraph for paragraph in section(metrics) if paragraph]
        paragraphs += [f"![{CAPTIONS[name]}]({name})" for name in shown if name in pictures]
        if paragraphs:
            parts += [f"## {title}", *paragraphs]
    partial = folder / "report.md.part"
    partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    partial.replace(folder / "report.md")


def _heading(metrics: Metrics) -> list[str]:
    model, data, figures = metrics["model"], metrics["data"], metrics.get("figures") or {}
    parts = [f"# {model['name']} on {data.get('protocol') or ', '.join(data['corpora'])}"]
    met = metrics.get("seen") or {}
    if warning := seen_warning(metrics):
        parts.append(f"> **{warning}:** {met['message']}. No figure here holds for new speakers.")
    elif met.get("status") == "unknown":
        parts.append(f"> **Not known to be unseen:** {met['message']}.")
    classes = classes_of(metrics)
    size = f"{count(data['utterances'], 'clip')}, {count(data['speakers'], 'speaker')}, {count(len(classes), 'class')}"
    if (figures.get("ua") or {}).get("value") is not None:
        said = [f"{NAMES[key]} {_with_interval(figures[key], metrics)}" for key in ("ua", "wa")]
        parts.append(f"**{', '.join(said)}** on {size}; chance is {chance(len(classes)):.1f} %.")
    elif mean := metrics.get("over_pairs"):
        parts.append(f"**UA {mean['ua']:.1f} %**, mean over pairs of corpora; chance is {mean['chance']:.1f} %.")
    else:
        parts.append(f"{size[0].upper()}{size[1:]}.")
    if met.get("status") == "unseen":
        parts.append(f"Test speakers: {met['message']}.")
    return parts


def _figures(metrics: Metrics) -> list[str]:
    figures, data = metrics.get("figures") or {}, metrics["data"]
    rows: list[tuple[object, ...]] = [
        (
            f"{name}, %",
            _number(figures[key]["value"]),
            _range(figures[key]),
            sum(recall["clips"] for recall in figures["recall"].values()),
        )
        for key, name in NAMES.items()
        if figures.get(key)
    ]
    if soft := figures.get("soft_cross_entropy"):
        rows.append(("soft-label cross-entropy, nats", _number(soft["value"], 3), _range(soft, 3), soft["clips"]))
    for name, found in (figures.get("dimensions") or {}).items():
        rows += [
            (f"{name} {key.upper()}", _number(found[key]["value"], 3), _range(found[key], 3), found["clips"])
            for key in ("ccc", "rmse")
        ]
    recalls = [
        (label, _number(recall["value"]), _range(recall), recall["clips"])
        for label, recall in (figures.get("recall") or {}).items()
    ]
    between = f"{level_of(metrics)} interval"
    notes = []
    if source := metrics.get("derived_dimensions"):
        notes.append(f"Arousal, valence and dominance: no human ratings, a point for each emotion word ({source}).")
    if figures.get("ua") and not interval(figures["ua"]):
        notes.append("Too few speakers for intervals.")
    if figures.get("unanswered"):
        notes.append(f"{count(figures['unanswered'], 'clip')} without an answer (silence to the model) count as wrong.")
    if left_out := data.get("left_out"):
        words = ", ".join(f"{word} ({clips:,})" for word, clips in left_out.items())
        notes.append(f"Left out, having no place among the labels: {words}.")
    return [
        _table(("figure", "value", between, "clips"), rows),
        " ".join(notes),
        _table(("class", "recall, %", between, "clips"), recalls),
    ]


def _folds(metrics: Metrics) -> list[str]:
    rows: list[tuple[object, ...]] = [
        (name, _number(fold["ua"]), _number(fold["wa"]), fold["clips"], ", ".join(fold["speakers"]))
        for name, fold in (metrics.get("folds") or {}).items()
    ]
    if over := metrics.get("over_folds"):
        spread = [f"{over[key]['mean']:.1f} ± {over[key]['std']:.1f}" for key in ("ua", "wa")]
        rows.append(("mean ± standard deviation", *spread, "", ""))
    return [_table(("fold", "UA, %", "WA, %", "clips", "test speakers"), rows)]


def _calibration(metrics: Metrics) -> list[str]:
    found = metrics.get("calibration") or {}
    rows = [
        (name, _number(found[key]["value"], digits), _range(found[key], digits))
        for key, name, digits in (("ece", "ECE, %", 1), ("nll", "NLL, nats", 3), ("brier", "Brier score, 0 to 2", 3))
        if found.get(key)
    ]
    if found.get("aurc") is not None:
        rows.append(("area under the risk-coverage curve, %", _number(found["aurc"]), NONE))
    said = ""
    if chosen := found.get("at_threshold"):
        said = (
            f"Scores below {chosen['threshold']:.2f} make the model abstain: it answers {chosen['coverage']:.1f} % of"
            f" the clips, with UA {_number(chosen['ua'])} % and WA {_number(chosen['wa'])} % on them."
        )
    return [_table(("figure", "value", f"{level_of(metrics)} interval"), rows), said]


def _groups(metrics: Metrics) -> list[str]:
    found = metrics.get("groups") or {}
    parts = []
    if gap := found.get("largest_gap"):
        parts.append(
            f"Largest gap: **{gap['points']:.1f} points of UA by {gap['column']}**, from {gap['worst']} (worst) to"
            f" {gap['best']} (best). The largest of several gaps is partly chance: read it with the intervals."
        )
    head = ("clips", "speakers", "UA, %", f"{level_of(metrics)} interval", "WA, %", "classes")
    columns = found.get("columns") or {}
    for name, column in sorted(columns.items(), key=lambda item: item[0] == "speaker"):  # the longest table last
        groups = column["groups"]
        if len(groups) > MOST_NAMED:
            known = [group["ua"] for group in groups if group["ua"] is not None]
            parts.append(f"{name}: {len(groups):,} groups, UA {min(known):.1f} to {max(known):.1f} %.")
            continue
        rows = [
            (
                *(group[key] for key in ("name", "clips", "speakers")),
                *(_number(group["ua"]), _range(group), _number(group["wa"]), group["classes"]),
            )
            for group in groups
        ]
        parts.append(_table((name, *head), rows))
    return parts


def _robustness(metrics: Metrics) -> list[str]:
    found = metrics.get("robustness") or {}
    cells, clean = found.get("cells") or [], (found.get("clean") or {}).get("ua")
    noisy, others = [cell for cell in cells if has_snr(cell)], [cell for cell in cells if not has_snr(cell)]
    levels = sorted({cell["value"] for cell in noisy}, reverse=True)
    ua = {(cell["kind"], cell["value"]): cell["ua"] for cell in noisy}
    noises = [
        (kind, _number(clean), *(_number(ua.get((kind, level))) for level in levels))
        for kind in dict.fromkeys(cell["kind"] for cell in noisy)
    ]
    changes = [
        (
            f"{cell['kind']} {cell['level']}".strip(),
            _number(cell["ua"]),
            _range(cell),
            _number(cell["wa"]),
            _less(cell, clean),
        )
        for cell in others
    ]
    return [
        _table(("UA, % in", "clean", *(f"{level:g} dB" for level in levels)), noises),
        _table(("after", "UA, %", f"{level_of(metrics)} interval", "WA, %", "points of UA from clean"), changes),
    ]


def _cost(metrics: Metrics) -> list[str]:
    cost = metrics.get("cost")
    if not cost:
        return []
    reference = cost.get("reference") or {}
    rows = [("parameters", f"{cost['parameters']:,}", "")]
    rows += [(f"`{name}`", f"{size / 1e6:.2f} MB", "") for name, size in cost["files"].items()]
    rows.append(("multiply-accumulates per second of speech", f"{cost['macs_per_second'] / 1e6:,.1f} million", ""))
    rows.append(("time to label a clip, one thread", f"{cost['clip_ms']:.1f} ms", _times(reference, "matmul")))
    rows.append(("real-time factor, one thread", f"{cost['real_time_factor']:.4f}", ""))
    rows.append(("peak memory", f"{cost['peak_memory_mb']:.0f} MB", _times(reference, "imports")))
    rows.append(("time to open the model", f"{cost['load_ms']:.0f} ms", ""))
    return [_table(("cost", "measured", "on the same machine"), rows)]


def _against(metrics: Metrics) -> list[str]:
    found = metrics.get("against")
    if not found:
        return []
    first, second = (model.get("id") or model["name"] for model in (metrics["model"], found["model"]))
    parts = []
    if warning := seen_warning(found):
        parts.append(f"> **{second}: {warning}:** {found['seen']['message']}.")
    for key in ("ua", "wa"):
        change, p = found[key], found[key].get("p")
        better = "better" if change["difference"] >= 0 else "worse"
        bounds = f", {level_of(metrics)} interval {_range(change)}" if interval(change) else ""
        if p is None:
            verdict = "too few speakers for a test"
        else:
            verdict = f"p = {p:.2g}: {'' if p < SIGNIFICANT else 'not '}told apart by this test"
        parts.append(
            f"{NAMES[key]}: {second} is {abs(change['difference']):.1f} points {better} than {first}"
            f" ({change['second']:.1f} against {change['first']:.1f} %{bounds}); {verdict}."
        )
    parts.append(
        f"On {count(found['clips'], 'clip')} of {count(found['speakers'], 'speaker')}:"
        f" {found['only_first_right']:,} right with {first} only, {found['only_second_right']:,} with {second} only"
        f" (McNemar p = {found['mcnemar_p']:.2g}, which takes clips for independent and is too sure where speakers"
        " differ)."
    )
    return parts


def _cross(metrics: Metrics) -> list[str]:
    pairs = metrics.get("pairs") or {}
    tested = list(dict.fromkeys(name for row in pairs.values() for name in row))

    def cell(pair: Mapping[str, Any] | None) -> str:
        if not pair:
            return NONE
        bounds = f" ({_range(pair)})" if interval(pair) else ""
        return f"{_number(pair['ua'])}{bounds}, {count(len(pair['labels']), 'class')}"

    rows = [(train, *(cell(row.get(test)) for test in tested)) for train, row in pairs.items()]
    return [_table(("UA, %, trained on", *(f"tested on {test}" for test in tested)), rows)]


def _repeat(metrics: Metrics) -> list[str]:
    model, data = metrics["model"], metrics["data"]
    drawn, grid = metrics.get("bootstrap") or {}, metrics.get("robustness") or {}
    facts: dict[str, Any] = {
        "model": model.get("id") or model["name"],
        "weights": ", ".join(f"{name} {digest}" for name, digest in (model.get("sha256") or {}).items()),
        "precision": model.get("precision"),
        "data": ", ".join(data["corpora"]),
        "table sha256": data.get("table_sha256"),
        "protocol": " ".join(filter(None, (data.get("protocol"), data.get("source") and f"({data['source']})"))),
        "labels": f"{data.get('label_set') or ''}: {', '.join(classes_of(metrics))}",
        "development speakers": metrics.get("development"),
        "training seed": metrics.get("seed"),
        "intervals": drawn
        and f"{drawn['draws']:,} draws by {drawn['unit']}, {level_of(metrics)}, seed {drawn['seed']}",
        "robustness seed": grid.get("seed"),
    }
    for kind, recordings in (grid.get("noise_files") or {}).items():
        facts[f"recordings of {kind}"] = f"{count(len(recordings['files']), 'file')}, sha256 {recordings['sha256']}"
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in (metrics.get("versions") or {}).items())
    facts["date"] = metrics.get("date")
    known = [(name, str(fact)) for name, fact in facts.items() if fact not in (None, "", {})]
    return [
        "`metrics.json` has every figure with more digits, and the recipe where one was trained.",
        _table(("what", "which"), known),
    ]


SECTIONS: tuple[tuple[str, Callable[[Metrics], list[str]], tuple[str, ...]], ...] = (
    ("Figures", _figures, ("confusion.png", "recall.png")),
    ("Folds", _folds, ()),
    ("Across corpora", _cross, ("cross.png",)),
    ("Calibration", _calibration, ("reliability.png",)),
    ("Groups", _groups, ("groups.png",)),
    ("Robustness", _robustness, ("robustness.png",)),
    ("Embeddings", lambda _: [], ("embedding.png",)),
    ("Against another model", _against, ()),
    ("Cost", _cost, ()),
    ("To repeat this", _repeat, ()),
)
"""Title, what writes it, and the pictures under it, in order; a section without content is left out."""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a Markdown table; numbers of clips get thousands separators; no rows, no table."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]
    return "\n".join(lines) if cells else ""


def _number(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _range(figure: Mapping[str, Any], digits: int = 1) -> str:
    bounds = interval(figure)
    return f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}" if bounds else NONE


def _with_interval(figure: Mapping[str, Any], metrics: Metrics) -> str:
    bounds = f" ({level_of(metrics)} interval {_range(figure)})" if interval(figure) else ""
    return f"{_number(figure['value'])} %{bounds}"


def _less(cell: Mapping[str, Any], clean: float | None) -> str:
    return NONE if clean is None or cell["ua"] is None else f"{cell['ua'] - clean:+.1f}"


def _times(reference: Mapping[str, Any], of: str) -> str:
    ratio = reference.get(f"ratio_to_{of}")
    what = {"matmul": "a matrix product of as many multiply-accumulates", "imports": "the memory of the imports alone"}
    return f"{ratio:.2f} times {what[of]}" if ratio is not None else ""

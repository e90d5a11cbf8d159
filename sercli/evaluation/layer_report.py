"""The findings about an encoder's layers: lines, a picture, and a report folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sercli.errors import OutputError
from sercli.evaluation.canvas import LINES, MARKERS, STYLE, blank, interval, key_above, level_of, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDINGS = "layers.json"
PICTURE = "layers.png"
REPORT = "report.md"
NAMES = {"ccc": "CCC", "ua": "UA, %"}

Findings = Mapping[str, Any]


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with findings before the work, not after.

    Raises:
        OutputError: it has some, or cannot be written
    """
    if (folder / FINDINGS).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a report already; add --overwrite to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --report") from problem


def lines(found: Findings) -> Iterator[dict[str, Any]]:
    """Say everything, one layer of one target a line."""
    for name, target in found["targets"].items():
        for share, probe in zip(target["weights"], target["probes"], strict=True):
            bounds = {key: probe[key] for key in ("value", "low", "high")}
            yield {
                "target": name,
                "layer": share["layer"],
                "weight": share["mean"],
                "figure": target["figure"],
                **bounds,
            }


def table(found: Findings) -> list[list[str]]:
    """Lay the summary out for people: target, centre of gravity, best single layer and its figure, depth needed."""
    rows = [["TARGET", "CENTRE OF GRAVITY", "BEST LAYER", "ITS FIGURE", "95 % OF IT FROM LAYER", "FIRST", "LAST"]]
    for name, target in found["targets"].items():
        best, digits = target["best_layer"], 3 if target["figure"] == "ccc" else 1
        values = [f"{target['probes'][layer]['value']:.{digits}f}" for layer in (best, 0, -1)]
        centre = target["centre"]
        figure = f"{NAMES[target['figure']]} {values[0]}"
        middle = f"{centre['mean']:.2f} +- {centre['std']:.2f}"
        rows.append([_title(found, name), middle, str(best), figure, str(target["early_layer"]), *values[1:]])
    return rows


def write(found: Findings, folder: Path) -> list[str]:
    """Write layers.json, layers.png and report.md, each under a temporary name first.

    Returns:
        names of the files

    Raises:
        OutputError: the folder cannot be written
    """
    from matplotlib import style

    try:
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as place:
            partial = Path(place)
            (partial / FINDINGS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            with style.context(["default", STYLE]):
                save(draw(found), partial / PICTURE)
            (partial / REPORT).write_text(report(found), encoding="utf-8")
            for name in (FINDINGS, PICTURE, REPORT):
                (partial / name).replace(folder / name)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --report") from problem
    return [FINDINGS, PICTURE, REPORT]


def draw(found: Findings) -> Figure:
    """Draw the shares of the layers, and the figures of each layer alone, the dimensions and the classes apart."""
    targets, data, encoder = found["targets"], found["data"], found["encoder"]
    facts = {"model": {"name": Path(encoder["name"]).name}, "data": data}
    note = (
        f"Left: softmax weights, mean and deviation over {data['folds']} folds; a vertical line is the centre of "
        f"gravity. Right: a linear model on each layer alone, with {level_of(found)} intervals over speakers."
    )
    if "derived_dimensions" in found:
        note += " Arousal, valence and dominance are points of the emotion words, not human ratings."
    kinds = list(dict.fromkeys(target["figure"] for target in targets.values()))
    figure = blank(facts, "What the layers carry", 3.7 * (1 + len(kinds)), 3.2, note)
    panels = figure.subplots(1, 1 + len(kinds), squeeze=False)[0]
    for number, (name, target) in enumerate(targets.items()):
        look: dict[str, Any] = {"color": LINES[number], "marker": MARKERS[number], "markersize": 4, "label": name}
        layers = [share["layer"] for share in target["weights"]]
        shares = [share["mean"] for share in target["weights"]]
        panels[0].errorbar(layers, shares, [share["std"] for share in target["weights"]], linewidth=1, **look)
        panels[0].axvline(target["centre"]["mean"], color=LINES[number], linewidth=1, linestyle=":")
        axes = panels[1 + kinds.index(target["figure"])]
        values = [probe["value"] for probe in target["probes"]]
        bounds = [interval(probe) or (value, value) for probe, value in zip(target["probes"], values, strict=True)]
        apart = [[value - low for value, (low, _) in zip(values, bounds, strict=True)]]
        apart.append([high - value for value, (_, high) in zip(values, bounds, strict=True)])
        axes.errorbar(layers, values, apart, linewidth=1, **look)
    panels[0].set(xlabel="layer", ylabel="softmax weight")
    for axes, kind in zip(panels[1:], kinds, strict=True):
        axes.set(xlabel="layer alone", ylabel=NAMES[kind])
    for axes in panels:
        axes.grid(axis="y")
        key_above(axes)
    return figure


def report(found: Findings) -> str:
    """Say it in words and tables."""
    encoder, data = found["encoder"], found["data"]
    parts = [
        f"# Layers of {Path(encoder['name']).name} on {data['protocol'] or ', '.join(data['corpora'])}",
        f"{data['utterances']:,} clips, {data['speakers']} speakers, {data['folds']} speaker-disjoint folds; the "
        "frozen states of each layer, averaged over time. Layer 0 is the input of the first.",
    ]
    if source := found.get("derived_dimensions"):
        parts.append(
            f"Arousal, valence and dominance are **no human ratings**: a point for each emotion word ({source})."
        )
    head, *rows = table(found)
    parts.append(_markdown([name.lower() for name in head], rows))
    parts.append(f"![Shares of the layers, and figures of each layer alone]({PICTURE})")
    names = list(found["targets"])
    per_layer = [
        [
            str(layer),
            *(f"{found['targets'][name]['weights'][layer]['mean']:.3f}" for name in names),
            *(_figure(found["targets"][name]["probes"][layer], found["targets"][name]["figure"]) for name in names),
        ]
        for layer in range(encoder["layers"] + 1)
    ]
    head = ["layer", *(f"weight, {name}" for name in names)]
    head += [f"{NAMES[found['targets'][name]['figure']]}, {name}" for name in names]
    parts.append(_markdown(head, per_layer))
    facts = {
        "encoder": f"{encoder['name']} {encoder['revision']}, sha256 {encoder['sha256']}",
        "table sha256": data["table_sha256"],
        "intervals": f"{found['bootstrap']['draws']:,} draws by speaker, {level_of(found)}",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "date": found["date"],
    }
    parts += ["## To repeat this", _markdown(["what", "which"], [[key, value] for key, value in facts.items()])]
    return "\n\n".join(parts) + "\n"


def _title(found: Findings, name: str) -> str:
    return f"{name} (derived)" if "derived_dimensions" in found and name != "emotion" else name


def _figure(probe: Mapping[str, Any], figure: str) -> str:
    digits = 3 if figure == "ccc" else 1
    bounds = interval(probe)
    between = f" ({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})" if bounds else ""
    return f"{probe['value']:.{digits}f}{between}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))

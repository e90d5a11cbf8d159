"""The model card: what a student was trained on, how it was measured, and what it must not be used for.

It is made from the bundle's own files, so that no figure of it is ever typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sercli.corpora.derived import SOURCE
from sercli.hub.citations import citations
from sercli.hub.facts import CODE_LICENCE, Facts, licence_id, read_facts

TEMPLATE = Path(__file__).with_name("card.md.j2")
CARD = "README.md"
DECIBEL = " dB"
UNMEASURED = {"groups": None, "robustness": None, "derived_dimensions": None}
"""What a report may lack."""


def write_card(folder: Path, repository: str = "", tag: str = "") -> None:
    """Write a bundle's README.md; arguments as of `card_text`.

    Raises:
        BundleError: a file of the bundle is missing or says too little
    """
    (folder / CARD).write_text(card_text(folder, repository, tag), encoding="utf-8")


def card_text(folder: Path, repository: str = "", tag: str = "") -> str:
    """Make a bundle's card, with the Hub's metadata (licence, languages, model-index) on top.

    Args:
        folder: of the bundle, with config.json, metrics.json and recipe.yaml
        repository: owner/name where it lies or will lie; empty for a folder that is nowhere else
        tag: of the revision that the card's example names

    Raises:
        BundleError: a file of the bundle is missing or says too little
    """
    import yaml
    from jinja2 import Environment, StrictUndefined, UndefinedError

    from sercli.errors import BundleError

    facts = read_facts(folder)
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters.update(
        points="{:.1f}".format, interval=_interval, spread=_spread, group=_group, noise_curve=_noise_curve
    )
    method = facts.recipe.get("method") or {}
    try:
        body = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
            config=facts.config,
            metrics={"cost": None, **facts.metrics},
            cross_validation=[{**UNMEASURED, **row} for row in facts.metrics["cross_validation"]],
            derived=_derived(facts),
            cross_corpus=facts.metrics["cross_corpus"],
            material=facts.material,
            recipe={"seed": 0, **facts.recipe},
            methods=list(method),
            taught=any((facts.recipe.get("teacher") or {}).get(who) for who in ("encoders", "students")),
            citations=citations(method),
            licence=facts.licence,
            licensed=licence_id(facts.licence) != "other",
            code_licence=CODE_LICENCE,
            repository=repository,
            tag=tag,
        )
    except UndefinedError as problem:
        raise BundleError(
            f"{folder}: metrics.json says too little for a card ({problem}); export it again"
        ) from problem
    head = yaml.safe_dump(_metadata(facts), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{head}---\n{body.rstrip()}\n"


def _derived(facts: Facts) -> str:
    """Where the student's arousal, valence and dominance come from, if not from people who rated them."""
    asked = (facts.recipe.get("corpus") or {}).get("derived_dimensions", False)
    return SOURCE if asked and "dimensions" in facts.config.heads else ""


def _metadata(facts: Facts) -> dict[str, Any]:
    """Say for the Hub's search what the card says for people; its model-index is read by leaderboards."""
    identifier = licence_id(facts.licence)
    other = {"license_name": "of-the-training-material", "license_link": "README.md"} if identifier == "other" else {}
    metadata = {
        "license": identifier,
        **other,
        "language": list(facts.languages),
        "library_name": "sercli",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", "speech", "onnx", "safetensors", "sercli"],
        "metrics": ["recall", "accuracy"],
    }
    results = [_result(row) for row in facts.metrics["cross_validation"]]
    return {**metadata, "model-index": [{"name": facts.config.name, "results": results}]} if results else metadata


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    data, folds = row["data"], row["over_folds"]
    corpora = ", ".join(data["corpora"])
    return {
        "task": {"type": "audio-classification", "name": "Speech emotion recognition"},
        "dataset": {"name": corpora, "type": corpora, "config": data["protocol"], "split": "test"},
        "metrics": [
            {"type": "recall", "name": f"UA, {data['protocol']}, {row['model']['name']}", "value": folds["ua"]["mean"]},
            {
                "type": "accuracy",
                "name": f"WA, {data['protocol']}, {row['model']['name']}",
                "value": folds["wa"]["mean"],
            },
        ],
    }


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.1f}"
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"


def _spread(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.1f} +- {figure['std']:.1f}"


def _group(column: Mapping[str, Any], name: str) -> str:
    (group,) = (group for group in column["groups"] if group["name"] == name)
    return f"{name}: {_interval({**group, 'value': group['ua']})}"


def _noise_curve(robustness: Mapping[str, Any]) -> dict[str, Any]:
    """Sort the cells of a robustness grid: UA per kind of noise over levels in dB, and one by one what has no curve."""
    cells = robustness["cells"]
    noisy = [cell for cell in cells if cell["level"].endswith(DECIBEL) and cell["kind"] != "gain"]
    levels = sorted({cell["level"] for cell in noisy}, key=lambda level: -float(level.removesuffix(DECIBEL)))
    found = {(cell["kind"], cell["level"]): f"{cell['ua']:.1f}" for cell in noisy}
    curves = {kind: [found.get((kind, level), "") for level in levels] for kind in dict.fromkeys(k for k, _ in found)}
    others = [f"{cell['kind']} {cell['level']}".strip() + f" {cell['ua']:.1f}" for cell in cells if cell not in noisy]
    return {"levels": levels, "curves": curves, "others": others}

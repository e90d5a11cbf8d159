"""What a bundle's own files say about it: the ground of its card and of its manifest entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sercli.errors import BundleError, first_line
from sercli.parsing import parse_json, parse_yaml
from sercli.runtime.bundle import BundleConfig

LANGUAGE_CODES = {
    "Amharic": "am",
    "Arabic": "ar",
    "English": "en",
    "French": "fr",
    "German": "de",
    "Greek": "el",
    "Italian": "it",
    "Mandarin": "zh",
    "Polish": "pl",
    "Turkish": "tr",
    "Urdu": "ur",
}
CODE_LICENCE = "Apache-2.0"
STRICTEST_FIRST = ("CC BY-NC-ND 4.0", "CC BY-NC-SA 4.0", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY 4.0", "CC0")
UNSTATED = "not stated; that of the training material applies"
NEEDED = ("cross_validation", "cross_corpus", "development", "material", "bytes")
"""Keys of metrics.json that `sercli export` always writes."""


@dataclass(frozen=True)
class Material:
    """One corpus a student was made with."""

    corpus: str
    title: str
    language: str
    licence: str
    train: tuple[str, ...]
    """speakers that set the weights"""
    dev: tuple[str, ...]
    """speakers that chose the epoch and calibrated the scores"""


@dataclass(frozen=True)
class Facts:
    """A bundle's config.json, metrics.json and recipe.yaml, and what follows from them."""

    config: BundleConfig
    metrics: Mapping[str, Any]
    recipe: Mapping[str, Any]
    material: tuple[Material, ...]

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        return weights_licence({item.licence for item in self.material})

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of the languages of the training material, sorted."""
        spoken = " ".join(item.language for item in self.material)
        return tuple(sorted(code for name, code in LANGUAGE_CODES.items() if name in spoken))


def read_facts(folder: Path) -> Facts:
    """Read what a bundle says about itself.

    Raises:
        BundleError: a file is missing, damaged or lacks a key
    """
    config = BundleConfig.load(folder)
    metrics = read_json(folder / "metrics.json")
    missing = [key for key in NEEDED if key not in metrics]
    if missing:
        raise BundleError(f"{folder / 'metrics.json'}: has no {', '.join(missing)}; export the student again")
    path = folder / "recipe.yaml"
    try:
        recipe = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BundleError(f"{path}: cannot be read ({first_line(problem)}); export the student again") from problem
    if not isinstance(recipe, dict):
        raise BundleError(f"{path}: not a recipe; export the student again")
    return Facts(config, metrics, recipe, tuple(_material(metrics)))


def read_json(path: Path) -> dict[str, Any]:
    """Read a bundle's file that holds one JSON object.

    Raises:
        BundleError: it cannot be read, or holds something else
    """
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BundleError(f"{path}: cannot be read ({first_line(problem)}); export the student again") from problem
    if not isinstance(values, dict):
        raise BundleError(f"{path}: must hold one JSON object; export the student again")
    return values


def weights_licence(licences: Iterable[str]) -> str:
    """Find the licence of weights by those of the corpora they were trained on.

    Weights are no derivative that NoDerivatives could forbid to share, but they may not be freer than their material:
    NonCommercial-ShareAlike is what the corpora's own terms add up to. Where a corpus has terms of its own (signed
    forms, research only), no Creative Commons licence covers the weights.
    """
    all_licences = set(licences)
    if any(licence not in STRICTEST_FIRST and not licence.startswith("not ") for licence in all_licences):
        return UNSTATED
    strictest = [licence for licence in STRICTEST_FIRST if licence in all_licences]
    if strictest and strictest[0].startswith("CC BY-NC"):
        return "CC BY-NC-SA 4.0"
    if strictest and all_licences <= set(STRICTEST_FIRST):  # one that nobody knows may forbid more than these
        return strictest[0]
    return UNSTATED


def licence_id(licence: str) -> str:
    """Give the Hub's identifier of a licence of weights."""
    if licence == "CC0":
        return "cc0-1.0"
    return licence.lower().replace(" ", "-") if licence in STRICTEST_FIRST else "other"


def licence_notice(licence: str) -> str:
    """Say what a licence of weights keeps a user from, by its name or its Hub identifier; empty if nothing."""
    words = licence.lower().replace("-", " ").split()
    if "nc" in words or "noncommercial" in words:
        return f"weights are {licence}: not for commercial use"
    if not words or licence in (UNSTATED, "other", "unknown"):
        return "weights have no stated open licence: see the card before any use, and do not assume a commercial one"
    return ""


def _material(metrics: Mapping[str, Any]) -> Iterable[Material]:
    from sercli.corpora import CORPORA

    dev = metrics["material"]["dev"]
    for name, side in metrics["material"]["train"].items():
        corpus = CORPORA.get(name)
        yield Material(
            corpus=name,
            title=corpus.title if corpus else name or "unnamed corpus",
            language=corpus.language if corpus else "not stated",
            licence=corpus.licence if corpus else "not stated",
            train=tuple(side["speakers"]),
            dev=tuple(dev.get(name, {}).get("speakers", ())),
        )

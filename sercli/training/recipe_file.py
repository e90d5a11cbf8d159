"""Recipe files: read, overridden from the command line, and written beside the weights with every key stated.

Precedence: command line (`optim.epochs=20`), file, default. Values are parsed as YAML scalars, never evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sercli.errors import RecipeError
from sercli.fields import from_dict, join_entries
from sercli.nearest import nearest
from sercli.parsing import parse_yaml
from sercli.training.recipe import Recipe


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key.sub=value` overrides.

    Raises:
        RecipeError: the file is missing or not YAML, a key is unknown or a value of the wrong kind
    """
    values = _read(path)
    for override in overrides:
        _apply(values, override)
    return from_dict(Recipe, values, "")


def load_resolved(path: Path) -> Recipe:
    """Read what a run wrote beside its weights, perhaps when noise was still three keys of `augment`.

    Raises:
        RecipeError: as `load_recipe`
    """
    values = _read(path)
    augment = values.get("augment") or {}
    if "noise_probability" in augment and not augment.get("noise_folder"):
        share, snr_db, _ = (augment.pop(f"noise_{key}", None) for key in ("probability", "snr_db", "folder"))
        augment["noise"] = {"kinds": ["coloured"], "snr_db": snr_db, "probability": share} if share else {}
    return from_dict(Recipe, values, "")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        near = nearest(path.name, [file.name for file in path.parent.glob("*.yaml")])
        raise RecipeError(f"{path}: no such recipe{near}; the shipped ones are in zoo/recipes/") from None
    except (OSError, ValueError) as problem:
        raise RecipeError(f"{path}: not a readable YAML recipe ({problem})") from problem
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values, not a {type(values).__name__}")
    return values


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every key stated."""
    import yaml

    return yaml.safe_dump(plain(recipe), sort_keys=False, allow_unicode=True)


def is_recipe_of(file: Path, recipe: Recipe) -> bool:
    """Whether a resolved recipe that an earlier run wrote, perhaps before some keys existed, says the same.

    Raises:
        RecipeError: it cannot be read
    """
    return load_resolved(file) == recipe


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {override!r}: write it as key.sub=value, for example optim.epochs=20")
    try:
        value = parse_yaml(text)
    except ValueError as problem:
        raise RecipeError(f"override {override!r}: the value is not YAML") from problem
    *parents, last = key.split(".")
    place: Any = values
    for parent in parents:
        below = place.setdefault(parent, {})
        if parent == "method" and isinstance(below, list):
            below = place[parent] = join_entries(below, "method")
        place = below
        if not isinstance(place, dict):
            raise RecipeError(f"override {override!r}: {parent} has no keys below it")
    place[last] = value


def plain(value: Any) -> Any:
    """Turn a recipe, or a part of one, into what YAML gives back: mappings, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value

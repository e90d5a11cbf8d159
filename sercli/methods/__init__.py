"""Training and distillation methods, one per file, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from sercli.errors import RecipeError
from sercli.methods.base import Method
from sercli.methods.ce import CrossEntropy

METHODS: dict[str, type[Method]] = {"ce": CrossEntropy}
"""Recipe name to class."""


def build_methods(parts: Mapping[str, Any]) -> list[tuple[str, Method]]:
    """Build the methods of a recipe.

    Args:
        parts: method name to its arguments

    Raises:
        RecipeError: unknown method or argument, with the nearest name
    """
    if not parts:
        raise RecipeError(f"method: name at least one of {', '.join(METHODS)}")
    built = []
    for name, arguments in parts.items():
        if name not in METHODS:
            near = get_close_matches(name, METHODS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(METHODS)}"
            raise RecipeError(f"method.{name}: no such method; {hint}")
        if not isinstance(arguments, Mapping | None):
            raise RecipeError(f"method.{name}: needs a mapping of its arguments to values, not {arguments!r}")
        built.append((name, METHODS[name].from_arguments(f"method.{name}", arguments or {})))
    return built

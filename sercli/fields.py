"""Frozen dataclasses from plain values, checked to the last key: recipes, and arguments of methods and students."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sercli.errors import RecipeError
from sercli.nearest import closest, nearest_or_all

Part = TypeVar("Part")


def from_dict(kind: type[Part], values: Mapping[str, Any], place: str, what: str = "recipe key") -> Part:
    """Build a frozen dataclass from plain values, refusing what it does not know.

    Args:
        kind: the dataclass
        values: key to value
        place: dotted name of its place, with a dot at the end, empty at the top
        what: such a key is called in messages

    Raises:
        RecipeError: names the dotted key and the nearest known one, or the kind of value that is needed
    """
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            deeper = [] if closest(key, hints) else [name for name in _below(hints) if name.endswith(f".{key}")]
            hint = f"did you mean {place}{deeper[0]}?" if deeper else nearest_or_all(key, hints, place)
            raise RecipeError(f"unknown {what} {place}{key}; {hint}")
    return kind(**{key: _convert(hints[key], value, f"{place}{key}", what) for key, value in values.items()})


def _below(hints: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Name the keys of the sections among a dataclass's keys, `optim.epochs`, for those who forget the section."""
    for name, kind in hints.items():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            below = get_type_hints(kind)
            yield from (f"{place}{name}.{key}" for key in below)
            yield from _below(below, f"{place}{name}.")


def _convert(kind: Any, value: Any, place: str, what: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, str) and "name" in get_type_hints(kind):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise RecipeError(f"{place}: needs a mapping of keys to values, not {value!r}")
        return from_dict(kind, value, f"{place}.", what)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{place}: needs a list, not {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise RecipeError(f"{place}: needs {len(kinds)} values, not {len(value)}")
        return tuple(_convert(kinds[i], item, f"{place}[{i}]", what) for i, item in enumerate(value))
    if origin in (Union, UnionType):
        return None if value is None else _convert(arguments[0], value, place, what)
    if origin is not None and issubclass(origin, Mapping):
        if place.endswith("method") and isinstance(value, list):
            value = join_entries(value, place)
        if not isinstance(value, Mapping):
            raise RecipeError(f"{place}: needs a mapping of keys to values, not {value!r}")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{place}: is larger than any number can be; write a smaller one") from None
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 3e-3 as text: it wants 3.0e-3. People write 3e-3.
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeError(f"{place}: needs a value of type {kind.__name__}, not {value!r}")
    return value


def join_entries(entries: list[Any], place: str) -> dict[str, Any]:
    """Join the list form of `method`: names, or mappings of one name to its arguments."""
    joined: dict[str, Any] = {}
    for number, entry in enumerate(entries):
        entry = {entry: {}} if isinstance(entry, str) else entry
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise RecipeError(f"{place}[{number}]: needs one method, for example 'kd: {{weight: 1}}', not {entry!r}")
        (name,) = entry
        if name in joined:
            raise RecipeError(f"{place}[{number}]: {name} is there already; put its arguments into one entry")
        joined.update(entry)
    return joined


def demand(fulfilled: bool, key: str, wish: str, value: object) -> None:
    """Refuse the value of a key.

    Raises:
        RecipeError: the condition is not fulfilled
    """
    if not fulfilled:
        raise RecipeError(f"{key}: must be {wish}, not {value!r}")

"""What every method is: named loss terms from a student's outputs and a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from torch import Tensor, nn

from sercli.errors import RecipeError


class Method(nn.Module):
    """A training method; subclasses take their recipe arguments as keyword arguments of `__init__`."""

    def losses(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the method's loss terms.

        Args:
            outputs: what the student returned: `logits` (batch, classes), `embedding` (batch, d)
            batch: `targets` (batch, classes) that sum to 1, `known` bool (batch, classes), `weights` (batch,)

        Returns:
            term name to a scalar; the run minimises their sum
        """
        raise NotImplementedError

    @classmethod
    def from_arguments(cls, place: str, arguments: Mapping[str, Any]) -> Self:
        """Build from recipe arguments.

        Args:
            place: dotted recipe key, for messages
            arguments: keyword arguments

        Raises:
            RecipeError: unknown argument, with the nearest name, or a value of another kind than its default
        """
        known = {name: part.default for name, part in list(inspect.signature(cls.__init__).parameters.items())[1:]}
        for key, value in arguments.items():
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean {place}.{near[0]}?" if near else f"known: {', '.join(known)}"
                raise RecipeError(f"unknown recipe key {place}.{key}; {hint}")
            kind = type(known[key])
            if kind in (bool, int, float, str) and not (type(value) is kind or (kind is float and type(value) is int)):
                raise RecipeError(f"{place}.{key}: needs a value of type {kind.__name__}, not {value!r}")
        return cls(**arguments)

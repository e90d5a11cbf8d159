"""Several processes that train one model, as `torchrun` or `accelerate launch` start them; elsewhere there is one.

All of them walk the same way through the same recipe: each hears its share of every batch, the first writes the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sercli.errors import RecipeError
from sercli.training.recipe import Recipe
from sercli.training.recipe_gmp import NAME as GMP


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def on_cpus() -> bool:
    """Whether several processes train on CPUs: accelerate has to be told, or each would train alone."""
    return count() > 1 and not torch.cuda.is_available()


def wait() -> None:
    """Go on only when every process has come here."""
    if count() > 1:
        _state().wait_for_everyone()


@contextmanager
def first_first() -> Iterator[None]:
    """Let the first process through a block before the others."""
    if count() == 1:
        yield
        return
    with _state().main_process_first():
        yield


def mean(values: dict[str, float]) -> dict[str, float]:
    """Average figures over all processes, which give the same names."""
    if count() == 1 or not values:
        return values
    summed = torch.tensor(list(values.values()), dtype=torch.float64, device=_state().device)
    torch.distributed.all_reduce(summed)
    return dict(zip(values, (summed / count()).tolist(), strict=True))


def share(batch: int) -> int:
    """Share a batch out evenly.

    Raises:
        RecipeError: that leaves a rest
    """
    each, rest = divmod(batch, count())
    if rest or not each:
        raise RecipeError(f"optim.batch: {batch} clips cannot be shared out evenly among {count()} processes")
    return each


def check(recipe: Recipe) -> None:
    """Refuse what only one process can train.

    Raises:
        RecipeError: a recipe of that kind, and there are several
    """
    alone = {
        "encoder": bool(recipe.encoder.name),
        "teacher.own": recipe.teacher.own is not None,
        f"method.{GMP}": GMP in recipe.method,
        "before.own: false": any(not stage.own for stage in recipe.before),
    }
    if count() > 1 and (found := [key for key, present in alone.items() if present]):
        raise RecipeError(f"{found[0]}: is trained by one process; start it without torchrun")


def own_randomness(seed: int) -> None:
    """Draw other masks and mixtures in each process: the same seed for all of them would repeat them."""
    if count() > 1:
        torch.manual_seed(seed * count() + rank())


def _state() -> Any:
    from accelerate import PartialState

    return PartialState(cpu=on_cpus())

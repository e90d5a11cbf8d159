"""Empty files named as in the official releases."""

import itertools
from collections.abc import Iterable
from pathlib import Path

WORDS = ("back", "bar", "bite")


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def ravdess_names(ending: str = ".wav") -> list[str]:
    """The 60 speech files of each of the 24 actors; neutral has no strong intensity."""
    names = []
    for actor, emotion, intensity, statement, take in itertools.product(
        range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2)
    ):
        if (emotion, intensity) != (1, 2):
            names.append(
                f"Actor_{actor:02d}/03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}{ending}"
            )
    return names

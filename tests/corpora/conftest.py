"""Corpora in the layout of their official releases: generated with empty files, and the real ones if at hand."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from release_trees import ravdess_names, touch


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Return a function that makes a folder with empty files of the given names."""
    return lambda names: touch(tmp_path / "corpus", names)


@pytest.fixture
def ravdess_tree(tmp_path: Path) -> Path:
    """RAVDESS as its zip files unpack, without the audio."""
    return touch(tmp_path / "RAVDESS", (f"Audio_Speech_Actors_01-24/{name}" for name in ravdess_names()))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the five real corpora and their manifest.csv."""
    folder = os.environ.get("SERCLI_DATA")
    if not folder:
        pytest.skip("SERCLI_DATA is not set: no real corpora here")
    return Path(folder)

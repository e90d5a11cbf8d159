"""The architecture page says what is true: its rooms exist, and import what it says they may."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sercli

PACKAGE = Path(sercli.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
PICTURE = (DOCS / "architecture.svg").read_text(encoding="utf-8")
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists())
TORCH = {"models", "methods", "training", "evaluation"}
FORBIDDEN = {
    "corpora": {*ROOMS} - {"corpora"},
    "hub": TORCH | {"cli"},
    "runtime": TORCH | {"cli"},
    "live": TORCH | {"cli"},
    "scale": TORCH | {"cli", "live"},
    "models": {"cli", "methods", "training", "evaluation", "corpora", "hub", "live"},
    "methods": {*ROOMS} - {"methods", "models"},
    "evaluation": {"cli"},
    "training": {"cli"},
    "cli": set(),
}


def imported_rooms(room: str) -> Iterator[tuple[str, str]]:
    """Modules of a room, and the rooms that they import anywhere, but for type checkers."""
    for file in (PACKAGE / room).rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                node.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sercli."):
                yield file.name, str(node.module).split(".")[1]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_it_may(room: str) -> None:
    assert {(file, other) for file, other in imported_rooms(room) if other in FORBIDDEN[room]} == set()


def test_every_room_is_on_the_page_and_in_the_picture() -> None:
    for room in ROOMS:
        assert f"`{room}/`" in PAGE
        assert room == "cli" or f">{room}/<" in PICTURE
    assert set(re.findall(r">(\w+)/<", PICTURE)) <= set(ROOMS)


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`(?:sercli/)?([\w/*]+\.(?:py|j2))`", PAGE)
    assert len(named) > 20
    for name in named:
        if not name.startswith("tests/") and "VERB" not in name:
            assert list(PACKAGE.glob(name)), name

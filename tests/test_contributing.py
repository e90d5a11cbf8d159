"""CONTRIBUTING.md: its examples are short, and do what they say when they are copied. CITATION.cff is up to date."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sercli.corpora import CORPORA, read_corpus

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_LINES = 30  # of an example; its test comes on top


def example(heading: str, names: dict[str, Any]) -> tuple[dict[str, Any], list[Callable[..., None]]]:
    """Run the code of a section; what it defines, and its test functions."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    code, test = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) < MOST_LINES
    assert all(re.match(r"# (sercli|tests)/\w+/\w+\.py\n", block) for block in (code, test))
    space: dict[str, Any] = {"__name__": __name__, **names}  # of a module that exists: dataclasses look theirs up
    for block in (code, test):
        exec(compile(block, f"CONTRIBUTING.md, {heading}", "exec"), space)
    return space, [value for name, value in space.items() if name.startswith("test_")]


def test_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason='needs the extra "train"')
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "methods"))
    from method_batches import connected, logits_batch, random_batch

    from sercli.methods import METHODS

    names = {"torch": torch, "pytest": pytest, "connected": connected, "logits_batch": logits_batch}
    space, tests = example("Add a method", names)
    monkeypatch.setitem(METHODS, "mse", space["LogitRegression"])
    for test in tests:
        test()
    short, long = (connected("mse").losses(*random_batch(padding=padding))["mse"] for padding in (0, 5))
    torch.testing.assert_close(long, short)
    assert len(tests) == 1


def test_a_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    space, tests = example("Add a corpus", {"read_corpus": read_corpus})
    monkeypatch.setitem(CORPORA, "mine", space["CORPUS"])
    for test in tests:
        test(tmp_path)
    assert len(tests) == 1


def test_a_student(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason='needs the extra "train"')
    from dataclasses import dataclass

    from sercli.models import students
    from sercli.models.frontend import frame_mask
    from sercli.models.student import AttentiveArguments, AttentiveStudent

    names = {"torch": torch, "nn": torch.nn, "dataclass": dataclass, "students": students, "frame_mask": frame_mask}
    names |= {"AttentiveArguments": AttentiveArguments, "AttentiveStudent": AttentiveStudent}
    space, tests = example("Add a student", names)
    built = students.Architecture(space["PlainArguments"], space["Plain"], {})
    monkeypatch.setitem(students.ARCHITECTURES, "plain", built)
    for test in tests:
        test()
    assert len(tests) == 1


def test_the_citation_is_of_this_version() -> None:
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # all that the format demands
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])

"""docs/: the pages on bundles and the Python API say what is there, and their code runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

import sercli
from sercli.hub.bundled import DEFAULT_MODEL, students
from sercli.live.session import Hop
from sercli.runtime.bundle import BUNDLE_FILES, BundleConfig
from sercli.runtime.prediction import Prediction
from sercli.runtime.student import Student

ROOT = Path(__file__).parents[1]
BUNDLE = (ROOT / "docs" / "BUNDLE.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def test_the_bundle_page_has_every_file_and_key() -> None:
    assert all(f"| `{name}` |" in BUNDLE for name in BUNDLE_FILES)
    table = BUNDLE.split("## config.json")[1].split("## On a Hub")[0]
    keys = {key for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert keys == {field.name for field in dataclasses.fields(BundleConfig)}


def test_the_bundle_page_s_code_labels_as_sercli_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(students()[DEFAULT_MODEL], tmp_path / "student")
    audio, rate = soundfile.read(ROOT / "tests" / "sample.flac", dtype="float32")
    soundfile.write(tmp_path / "clip.wav", audio, rate)
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    (code,) = blocks(BUNDLE)
    exec(code, space)
    expected = sercli.load("student").predict(audio, rate)
    assert space["label"] == expected.label
    assert space["scores"] == pytest.approx(expected.scores, abs=1e-5)


@pytest.mark.parametrize("code", [pytest.param(code, id=str(number)) for number, code in enumerate(blocks(API))])
def test_the_code_of_the_api_page_runs(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, "docs/API.md", "exec"), {"__name__": "api"})
    assert "print(" not in code or capsys.readouterr().out


def test_the_api_page_has_every_public_name_and_signature() -> None:
    assert [name for name in sercli.__all__ if name not in API] == []
    for name, function in (("sercli.load", sercli.load), ("Student.predict", Student.predict)):
        (written,) = re.findall(rf"`{name}\((.*?)\)`", API)
        parameters = [name for name in inspect.signature(function).parameters if name != "self"]
        assert [part.split("=")[0] for part in written.split(", ") if part != "*"] == parameters


@pytest.mark.parametrize("kind", [Prediction, Hop])
def test_the_api_page_has_every_field(kind: type[Any]) -> None:
    assert [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in API] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []

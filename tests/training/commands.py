"""Run sercli in this process, and read what a run wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sercli.cli.main import run


def sercli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command line: exit code, standard output, standard error."""
    code = run([*map(str, arguments)])
    streams = capsys.readouterr()
    return int(code), streams.out, streams.err


def trained(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run `sercli train` to its end: standard output."""
    code, out, err = sercli(capsys, "train", *arguments, "-q")
    assert code == 0, err
    return out


def written(folder: Path, name: str = "metrics") -> dict[str, Any]:
    """Read NAME.json of a run."""
    values: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return values

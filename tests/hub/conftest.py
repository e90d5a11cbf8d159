"""A Hub of the tests' own, and a bundle that may be published."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_bundle import complete
from hub_server import TOKEN, Hub

from sercli.cli.main import run
from tests.tiny import make_bundle

Sercli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Folder of a complete bundle of the tiny student."""
    return complete(make_bundle(tmp_path / "tiny"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running Hub; this process and its children ask it, with a cache of the test's own and the account's token."""
    from huggingface_hub import constants

    home = tmp_path / "hf"
    with Hub() as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        for name, value in {**environment, "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
            monkeypatch.setenv(name, value)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        # huggingface_hub reads its environment when it is imported, which in this process was long ago.
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


@pytest.fixture
def sercli(capfd: pytest.CaptureFixture[str]) -> Sercli:
    """Run a command line in this process; returns exit code, stdout, stderr. The token is never in either."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        return int(code), out, err

    return call


@pytest.fixture
def child() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line as a process of its own, which reads the environment when it starts."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sercli", *map(str, arguments)]
        given = {**os.environ, **environment}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=given)
        assert TOKEN not in done.stdout + done.stderr
        return done

    return call

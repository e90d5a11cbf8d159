"""The committed completions are those of today's commands, and really complete in the shells that are installed."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sercli.cli.completion import SHELLS, sources

COMPLETIONS = Path(__file__).parents[2] / "completions"
PATIENCE_SECONDS = 60
CASES = [
    ("pre", "predict"),
    ("zoo pul", "zoo pull"),
    ("zoo pull mic", "zoo pull micro"),
    ("predict --model mic", "predict --model micro"),
    ("predict --format text", "predict --format textgrid"),
    ("listen --smoo", "listen --smoothing"),
    ("predict cal", "predict call-7.wav"),
]
"""What is typed before TAB, and what stands there after it."""
SET_UP = {
    "bash": f"source '{COMPLETIONS / 'sercli.bash'}'",
    "zsh": f"fpath=('{COMPLETIONS}' $fpath); autoload -Uz compinit; compinit -u -D",
}


@pytest.mark.parametrize("name", list(SHELLS))
def test_committed_completion_is_current(name: str) -> None:
    assert (COMPLETIONS / name).read_text(encoding="utf-8") == sources()[name], (
        "run python -m sercli.cli.completion completions"
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with one recording, and a `sercli` that completes as ours does, but when it runs only says with what."""
    command = tmp_path / "bin" / "sercli"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\n[ -n "$_SERCLI_COMPLETE" ] && exec {sys.executable} -m sercli\nprintf "RAN[%s]\\n" "$*"\n'
    )
    command.chmod(0o755)
    (tmp_path / "call-7.wav").touch()
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    package = str(COMPLETIONS.parent)
    return {**os.environ, "PATH": path, "HOME": str(home), "TERM": "xterm", "PYTHONPATH": package, "PS1": "$ "}


def typed(command: list[str], keys: str, home: Path) -> str:
    """Type into an interactive shell in a terminal of its own, until it has run `sercli`; its arguments."""
    ours, theirs = os.openpty()
    shell = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, env=environment(home), start_new_session=True
    )
    os.close(theirs)
    shown, end = "", time.monotonic() + PATIENCE_SECONDS
    try:
        os.write(ours, keys.encode())
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 4_096).decode("utf-8", "replace")
            if found := re.search(r"RAN\[(.*?)\]", shown):
                return found[1]
        raise AssertionError(f"nothing ran: {shown!r}")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


@pytest.mark.parametrize("shell", list(SET_UP))
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_tab_completes(shell: str, words: str, expected: str, home: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    assert typed(command, f"{SET_UP[shell]}\nsercli {words}\t\n", home).strip() == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_fish_completes(words: str, expected: str, home: Path) -> None:
    script = f"source '{COMPLETIONS / 'sercli.fish'}'; complete --do-complete 'sercli {words}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
        env=environment(home),
        timeout=PATIENCE_SECONDS,
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [expected.split()[-1]]
    assert done.stderr == ""

"""The committed completions are those of today's commands, and really complete in the shells that are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sercli.cli.completion import SHELLS, sources

COMPLETIONS = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("name", list(SHELLS))
def test_committed_completion_is_current(name: str) -> None:
    assert (COMPLETIONS / name).read_text(encoding="utf-8") == sources()[name], (
        "run python -m sercli.cli.completion completions"
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [("pre", ["predict"]), ("zoo pul", ["pull"]), ("zoo pull mic", ["micro"]), ("predict --model mic", ["micro"])],
)
def test_bash_completes_verbs_and_students(tmp_path: Path, words: str, expected: list[str]) -> None:
    command = tmp_path / "sercli"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sercli "$@"\n')
    command.chmod(0o755)
    script = f"""
        PATH={tmp_path}:$PATH
        source {COMPLETIONS / "sercli.bash"}
        COMP_WORDS=(sercli {words}) COMP_CWORD={len(words.split())}
        _sercli_completion sercli
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == expected
    assert done.stderr == ""

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
def test_bash_completes_verbs(tmp_path: Path) -> None:
    command = tmp_path / "sercli"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sercli "$@"\n')
    command.chmod(0o755)
    script = f"""
        PATH={tmp_path}:$PATH
        source {COMPLETIONS / "sercli.bash"}
        COMP_WORDS=(sercli pre) COMP_CWORD=1
        _sercli_completion sercli
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["predict"]
    assert done.stderr == ""

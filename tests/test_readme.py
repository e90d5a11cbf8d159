"""The README says what is true: its commands exist, its exit codes are the code's, its figures are measured ones."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from sercli.cli.main import COMMANDS, cli
from sercli.errors import ExitCode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:sh|console)\n(.*?)```", README, flags=re.DOTALL)
COMMAND_LINES = sorted(
    {
        match[0].strip()
        for block in BLOCKS
        for line in block.splitlines()
        for match in re.finditer(r"(?<![\w/-])sercli (?!\d)[^&|#]+", line)
    }
)


def test_readme_shows_commands() -> None:
    assert len(COMMAND_LINES) >= 8
    assert {shlex.split(line)[1] for line in COMMAND_LINES} >= set(COMMANDS)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_readme_command_exists(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word not in {">", "<"}]
    context = click.Context(cli)
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
    assert command is not None, line
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert used <= known, f"{line}: unknown {used - known}"


def test_exit_codes_table() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", README, flags=re.MULTILINE))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_figures_are_the_measured_ones() -> None:
    """Every `UA` of the students' table stands in zoo/results."""
    for name in ("ravdess-micro", "emodb-micro"):
        results = json.loads((ROOT / "zoo" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        low, high = results["pooled"]["ua_interval"]
        assert f"{results['ua_mean']:.1f}" in README
        assert f"{results['pooled']['ua']:.1f} ({low:.1f} to {high:.1f})" in README


def test_install_lines_are_one_line_each() -> None:
    lines = [line for block in BLOCKS for line in block.splitlines() if line.startswith("python3.11 -m venv")]
    assert len(lines) == 2
    assert all(line.count("&&") >= 2 for line in lines)

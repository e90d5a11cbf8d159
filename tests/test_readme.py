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
    """The table of protocols says what stands in zoo/results, every one of them."""
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in (ROOT / "zoo" / "results").glob("*.json")]
    assert len(reports) >= 5
    for report in reports:
        if "over_pairs" in report:
            assert f"{report['over_pairs']['ua']:.1f}" in README
            continue
        ua, folds = report["figures"]["ua"], report["over_folds"]
        (row,) = (line for line in README.splitlines() if line.startswith(f"| `{report['model']['name']}` | "))
        assert f"`{report['data']['protocol']}` | {len(report['folds'])}" in row
        assert f"| {ua['value']:.1f} ({ua['low']:.1f} to {ua['high']:.1f}) |" in row
        assert f"{folds['ua']['mean']:.1f} +- {folds['ua']['std']:.1f} / {folds['wa']['mean']:.1f} |" in row


@pytest.mark.parametrize("file", sorted((ROOT / "zoo" / "results").glob("*.json")), ids=lambda file: file.stem)
def test_results_follow_the_schema(file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason='needs the extra "dev"')
    schema = json.loads((ROOT / "sercli" / "evaluation" / "metrics.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(file.read_text(encoding="utf-8")))


def test_install_lines_are_one_line_each() -> None:
    lines = [line for block in BLOCKS for line in block.splitlines() if line.startswith("python3.11 -m venv")]
    assert len(lines) == 2
    assert all(line.count("&&") >= 2 for line in lines)

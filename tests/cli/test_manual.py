"""The man page is that of today's commands, complete, and clean roff."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sercli.cli.main import cli
from sercli.cli.manual import EXIT, PAGE, source
from sercli.errors import ExitCode

ROOT = Path(__file__).parents[2]
FILE = ROOT / "man" / PAGE


def groups_and_commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from groups_and_commands(found, (*words, name))


def test_the_committed_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == source(), "run python -m sercli.cli.manual man"


def test_exit_codes_are_those_of_the_readme() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(EXIT) == set(ExitCode)
    assert all(text.startswith(rows[str(int(code))]) for code, text in EXIT.items())


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_say() -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-z", str(FILE)], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_every_command_and_option() -> None:
    environment = {**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    command = ["man", "--nh", "--nj", "-l", str(FILE)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    if len(shown) < 1_000:
        pytest.skip("this man shows no pages (a minimal system's stand-in)")
    sections = dict(
        re.findall(r"^   (sercli(?: [a-z]+)*)\b(.*?)(?=^   sercli|^[A-Z])", shown, re.MULTILINE | re.DOTALL)
    )
    for words, command_ in groups_and_commands(cli, ("sercli",)):
        if words == "sercli":
            continue
        section = sections[words]
        for option in command_.params:
            if isinstance(option, click.Option) and not isinstance(command_, click.Group):
                assert all(re.search(rf"(?<![\w-]){name}(?![\w-])", section) for name in option.opts), (
                    words,
                    option.name,
                )

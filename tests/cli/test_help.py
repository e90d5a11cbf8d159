"""The help says enough, and errors name what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sercli.cli.main import COMMANDS, GROUPS, cli, run
from sercli.nearest import closest, nearest, nearest_or_all


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with the words that call it."""
    context = click.Context(cli)
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, (*path, name))


OPTIONS = [
    pytest.param(option, id=f"{words} {option.opts[-1]}")
    for words, command in commands()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_says_unit_default_and_an_example(option: click.Option) -> None:
    record = option.get_help_record(click.Context(cli))
    assert record is not None
    name, text = record
    assert len(text) > 10
    if option.is_flag:
        return
    assert option.required or "default" in text
    if isinstance(option.type, click.Choice):
        return
    assert re.search(r"\b[A-Z]{1,9}\b", name.removesuffix("..."))  # what kind of value: SECONDS, DIR, N ...
    if isinstance(option.type, click.Path):
        return
    assert "such as" in text or "for example" in text


def test_commands_stand_in_groups(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capfd.readouterr().out
    sections = re.findall(r"^(Use|Build|Share):\n((?:  .*\n)+)", out, flags=re.MULTILINE)
    assert {heading: re.findall(r"^  (\w+)  ", text, flags=re.MULTILINE) for heading, text in sections} == {
        heading: list(verbs) for heading, verbs in GROUPS.items()
    }
    assert len(COMMANDS) == sum(len(verbs) for verbs in GROUPS.values())


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["predikt", "a.wav"], "'predict'"),
        (["zoo", "pul"], "'pull'"),
        (["predict", "a.wav", "--modle", "x"], "'--model'"),
        (["predict", "a.wav", "--format", "jsonn"], '"json"'),
        (["predict", "a.wav", "--model", "Mikro"], '"micro"'),
        (["predict", "a.wav", "--labels", "angy"], '"angry"'),
        (["zoo", "info", "mcro"], '"micro"'),
        (["corpus", "check", "RAVDES", "--root", "."], '"ravdess"'),
        (["new", "DIR", "--labels", "sevn"], '"seven"'),
    ],
)
def test_errors_name_the_nearest(
    arguments: list[str], meant: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([word.replace("DIR", str(tmp_path / "new")) for word in arguments]) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert re.search(rf"[Dd]id you mean (one of: )?.*{meant}", streams.err)


def test_nearest() -> None:
    known = ["micro", "Nano"]
    assert [closest(word, known) for word in ("mikro", "NANO", "elephant", "")] == ["micro", "Nano", "", ""]
    assert (nearest("mikro", known), nearest("elephant", known)) == (' (did you mean "micro"?)', "")
    assert nearest_or_all("nanoo", known, "size.") == "did you mean size.Nano?"
    assert nearest_or_all("elephant", known) == "known: micro, Nano"

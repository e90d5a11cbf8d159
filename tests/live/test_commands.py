"""Commands run when a label begins: once, not too often, without a shell, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sercli.errors import UsageError
from sercli.live.commands import Commands, Event
from tests.live.voice import hop

CLASSES = ("happy", "sad")
WRITE = """
import os, sys
with open(sys.argv[1], "a") as file:
    file.write(" ".join([os.environ["SERCLI_LABEL"] or "-", os.environ["SERCLI_END"], *sys.argv[2:]]) + "\\n")
"""


@pytest.fixture
def writer(tmp_path: Path) -> str:
    """A command line that writes its label, time and further arguments to `log`."""
    (tmp_path / "write.py").write_text(WRITE)
    return f"{sys.executable} {tmp_path / 'write.py'} {tmp_path / 'log'}"


def play(commands: Commands, *labels: str) -> None:
    """One hop per second; every command may end before the next."""
    for second, label in enumerate(labels):
        commands.hop(hop(label, float(second)))
        commands.close()


def test_runs_when_a_label_begins(writer: str, tmp_path: Path) -> None:
    events = [Event.parse(f"{label}={writer} 'a b' $HOME", CLASSES, False) for label in ("happy", "silence")]
    told: list[str] = []
    play(Commands(events, every_seconds=0.0, tell=told.append), "", "happy", "happy", "sad", "happy", "", "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["happy 1.000 a b $HOME", "happy 4.000 a b $HOME", "- 5.000 a b $HOME"]
    assert told == []


def test_rate_limit(writer: str, tmp_path: Path) -> None:
    commands = Commands([Event.parse(f"happy={writer}", CLASSES, False)], every_seconds=3.0, tell=print)
    play(commands, "happy", "", "happy", "", "happy", "", "happy", "", "happy")
    assert (tmp_path / "log").read_text().splitlines() == ["happy 0.000", "happy 4.000", "happy 8.000"]


def test_shell(tmp_path: Path) -> None:
    event = Event.parse(f'happy=echo "$SERCLI_LABEL" > {tmp_path / "log"}', CLASSES, True)
    play(Commands([event], shell=True, tell=print), "happy")
    assert (tmp_path / "log").read_text() == "happy\n"


def test_slow_commands_do_not_hold_up_listening(tmp_path: Path) -> None:
    event = Event.parse(f"happy={sys.executable} -c 'import time; time.sleep(1)'", CLASSES, False)
    commands = Commands([event], every_seconds=0.0, tell=print)
    begin = time.monotonic()
    for second, label in enumerate(["happy", "", "happy", "", "happy"]):
        commands.hop(hop(label, float(second)))
    assert time.monotonic() - begin < 0.9  # one runs; the others are left out, not queued
    commands.close()


def test_failure_is_told_once(tmp_path: Path) -> None:
    program = tmp_path / "fails"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    told: list[str] = []
    play(
        Commands([Event.parse(f"sad={program}", CLASSES, False)], every_seconds=0.0, tell=told.append), *["sad", ""] * 3
    )
    assert told == [f"--on sad={program}: exit code 3; listening goes on"]
    program.unlink()
    commands = Commands([Event("sad", (str(program),))], tell=told.append)
    play(commands, "sad")
    assert told[1] == f"--on sad={program}: cannot run (No such file or directory); listening goes on"


def test_what_it_prints_goes_where_it_should() -> None:
    read, write = os.pipe()
    event = Event.parse("sad=echo noise", CLASSES, False)
    play(Commands([event], tell=print, output=write), "sad")
    os.close(write)
    assert os.read(read, 100) == b"noise\n"
    os.close(read)
    assert Commands([event], tell=print)._output == subprocess.DEVNULL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("happy", "write LABEL=COMMAND"),
        ("happy=", "write LABEL=COMMAND"),
        ("hapy=true", r'no such label \(did you mean "happy"\?\); choose one of happy, sad, uncertain, silence'),
        ("happy=echo 'a", "no closing quotation; check the quotes"),
        ("happy=no-such-program-1", "no program 'no-such-program-1'; give its path, or --shell"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Event.parse(text, CLASSES, False)

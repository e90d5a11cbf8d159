"""Commands that run when a label begins: `--on happy=COMMAND`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sercli.errors import UsageError
from sercli.nearest import nearest
from sercli.runtime.prediction import UNCERTAIN

if TYPE_CHECKING:
    from sercli.live.session import Hop

SILENCE = "silence"  # the event of a label that ends, with no other after it
EVERY_SECONDS = 5.0
GOODBYE_SECONDS = 2.0  # for commands that still run when listening ends


@dataclass(frozen=True)
class Event:
    """One command and when it runs."""

    label: str
    """a class, "uncertain" or "silence" """
    command: tuple[str, ...]
    """program and arguments; with a shell one text"""

    @classmethod
    def parse(cls, text: str, classes: Sequence[str], shell: bool) -> Event:
        """Read LABEL=COMMAND.

        Raises:
            UsageError: malformed, a label that cannot come, or no such program
        """
        label, equals, command = text.partition("=")
        if not equals or not command.strip():
            raise UsageError(f"--on {text!r}: write LABEL=COMMAND, for example --on angry='notify-send angry'")
        known = (*classes, UNCERTAIN, SILENCE)
        if label not in known:
            raise UsageError(f"--on {label!r}: no such label{nearest(label, known)}; choose one of {', '.join(known)}")
        if shell:
            return cls(label, (command,))
        try:
            words = shlex.split(command)
        except ValueError as problem:
            raise UsageError(f"--on {text!r}: {str(problem).lower()}; check the quotes") from None
        if shutil.which(words[0]) is None:
            raise UsageError(f"--on {text!r}: no program {words[0]!r}; give its path, or --shell for a line of shell")
        return cls(label, tuple(words))


class Commands:
    """Runs the commands of a stream of hops, without waiting for them.

    A command sees the hop in SERCLI_LABEL, SERCLI_SCORE, SERCLI_START, SERCLI_END and SERCLI_TIME. It does not run
    again before `every_seconds` of audio have passed, nor while it still runs. What it prints goes to `output`.

    Args:
        events: from `Event.parse`
        shell: run by the system's shell
        every_seconds: least distance of two runs of one command
        tell: takes a message for the user, at most one per command
        output: a file descriptor, or subprocess.DEVNULL
    """

    def __init__(
        self,
        events: Iterable[Event],
        *,
        shell: bool = False,
        every_seconds: float = EVERY_SECONDS,
        tell: Callable[[str], object],
        output: int = subprocess.DEVNULL,
    ) -> None:
        self._runs = [_Run(event) for event in events]
        self._shell, self._every, self._tell, self._output = shell, every_seconds, tell, output
        self._label = ""

    def hop(self, hop: Hop) -> None:
        """Run what belongs to a label that begins with this hop."""
        for run in self._runs:
            self._look(run)
        began, self._label = hop.label != self._label, hop.label
        if began:
            for run in self._runs:
                due = run.last is None or hop.end - run.last >= self._every
                if run.event.label == (hop.label or SILENCE) and due and run.process is None:
                    run.last = hop.end
                    self._start(run, hop)

    def close(self) -> None:
        """Give running commands a moment to end; those that do not are left alone."""
        until = time.monotonic() + GOODBYE_SECONDS
        for run in self._runs:
            if run.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    run.process.wait(max(until - time.monotonic(), 0.0))
                self._look(run)

    def _start(self, run: _Run, hop: Hop) -> None:
        told = {
            "SERCLI_LABEL": hop.label,
            "SERCLI_SCORE": f"{hop.score:.6f}",
            "SERCLI_START": f"{hop.start:.3f}",
            "SERCLI_END": f"{hop.end:.3f}",
            "SERCLI_TIME": hop.time.isoformat(),
        }
        try:
            run.process = subprocess.Popen(
                run.event.command[0] if self._shell else run.event.command,
                shell=self._shell,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **told},
                start_new_session=True,  # Ctrl-C ends listening, not what it has set off
            )
        except OSError as problem:
            self._complain(run, f"cannot run ({problem.strerror})")

    def _look(self, run: _Run) -> None:
        """Collect a command that has ended."""
        if run.process is not None and run.process.poll() is not None:
            if run.process.returncode:
                self._complain(run, f"exit code {run.process.returncode}")
            run.process = None

    def _complain(self, run: _Run, what: str) -> None:
        if not run.told:
            run.told = True
            self._tell(f"--on {run.event.label}={shlex.join(run.event.command)}: {what}; listening goes on")


@dataclass
class _Run:
    """A command's last run."""

    event: Event
    last: float | None = None  # when it began, in seconds of audio
    process: subprocess.Popen[bytes] | None = None
    told: bool = False

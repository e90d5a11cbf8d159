"""Every error sercli raises on purpose, and the exit code each one ends the command line with.

    SercliError                  exit 1
    ├── UsageError               exit 2   an option, argument or combination of them is wrong
    │   ├── RecipeError          exit 2   a recipe has an unknown key or a bad value
    │   ├── LabelError           exit 2   labels that cannot be mapped to the set asked for
    │   └── ModelNotFoundError   exit 2   no student of that name, in that folder or in that repository
    ├── AudioError               exit 1   one input cannot be read as audio (an error row in a batch)
    ├── BundleError              exit 1   a student bundle is incomplete, altered or of another format
    │   └── ManifestError        exit 1   the zoo's manifest has an unknown key or a bad value
    ├── HubError                 exit 1   the Hub cannot be reached, refuses, or breaks off
    ├── CorpusError              exit 1   a corpus or table is missing or malformed
    │   └── LeakError            exit 1   a speaker stands on two sides of a split
    ├── OutputError              exit 1   results cannot be written (disk full, read-only, would overwrite)
    ├── MicrophoneError          exit 1   there is no microphone, or it cannot be opened, or it is gone
    └── MissingExtraError        exit 1   the command needs an extra that is not installed

A message is one line: what is wrong, with which file or key, and the next step.
"""

from __future__ import annotations

from enum import IntEnum

LONGEST_MESSAGE = 1_000  # characters; what is cut out stands in the middle, between the file and the next step


class ExitCode(IntEnum):
    """How a sercli command ends; the README repeats this table and a test holds both together."""

    DONE = 0
    """Everything asked for was done."""
    FAILED = 1
    """The command failed."""
    USAGE = 2
    """Wrong usage or configuration; nothing was started."""
    PARTIAL = 3
    """The command finished, but some inputs failed."""
    INTERRUPTED = 130
    """Interrupted with Ctrl-C; what was written is valid and can be resumed."""


def first_line(problem: BaseException) -> str:
    """Say what another library's exception says, in one line: the system's reason, its message, or its name."""
    reason = problem.strerror if isinstance(problem, OSError) else None
    return next(iter((reason or str(problem)).strip().splitlines()), type(problem).__name__).rstrip(".:")


class SercliError(Exception):
    """Base of every error sercli raises on purpose."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: str) -> str:
    """Keep a message fit to print, whatever name or value it quotes: one line, no control characters, not endless."""
    if len(message) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        message = f"{message[:half]} ... {message[-half:]}"
    if message.isprintable():
        return message
    # lone surrogates stay: they are the bytes of a path that is no UTF-8
    return "".join(
        letter if letter.isprintable() or "\udc80" <= letter <= "\udcff" else letter.encode("unicode_escape").decode()
        for letter in message
    )


class UsageError(SercliError):
    """An option, an argument or a combination of them is wrong."""

    exit_code = ExitCode.USAGE


class RecipeError(UsageError):
    """A recipe has an unknown key or a bad value."""


class LabelError(UsageError):
    """Labels that cannot be mapped to the label set asked for."""


class ModelNotFoundError(UsageError):
    """No student of that name, or no bundle in that folder."""


class AudioError(SercliError):
    """One input cannot be read as audio."""


class BundleError(SercliError):
    """A student bundle is incomplete, altered or of another format."""


class ManifestError(BundleError):
    """The zoo's manifest has an unknown key or a bad value."""


class HubError(SercliError):
    """The Hub cannot be reached, refuses, or breaks off."""


class CorpusError(SercliError):
    """A corpus or an utterance table is missing or malformed."""


class LeakError(CorpusError):
    """A speaker stands on two sides of a split."""


class OutputError(SercliError):
    """Results cannot be written."""


class MicrophoneError(SercliError):
    """There is no microphone, or it cannot be opened, or it is gone."""


class MissingExtraError(SercliError):
    """The command needs an extra that is not installed."""

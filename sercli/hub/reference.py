"""Where a student lies on the Hub, as one writes it: `hf:owner/repo@revision`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sercli.errors import UsageError

PREFIX = "hf:"
DEFAULT_REVISION = "main"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[\w.][\w./-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubReference:
    """A repository of the Hub and one of its revisions."""

    repository: str
    """owner/name"""
    revision: str
    """commit, tag or branch"""

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}@{self.revision}"

    @property
    def pinned(self) -> bool:
        """Whether the revision is a full commit, which names the same files for ever."""
        return _COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubReference:
        """Name another revision of the same repository."""
        return HubReference(self.repository, revision)


def parse(text: str) -> HubReference:
    """Read `hf:owner/repo` or `hf:owner/repo@revision`; without a revision it is the main branch.

    Raises:
        UsageError: anything else
    """
    repository, at, revision = text.removeprefix(PREFIX).partition("@")
    named = is_repository(repository) and (not at or is_revision(revision))
    if not text.startswith(PREFIX) or not named:
        raise UsageError(f"{text!r} names no repository; write hf:OWNER/REPO or hf:OWNER/REPO@REVISION")
    return HubReference(repository, revision or DEFAULT_REVISION)


def is_repository(text: str) -> bool:
    """Say whether a text has the form owner/name."""
    return _REPOSITORY.fullmatch(text) is not None and ".." not in text


def is_revision(text: str) -> bool:
    """Say whether a text can name a commit, tag or branch."""
    return _REVISION.fullmatch(text) is not None and ".." not in text

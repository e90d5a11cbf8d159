"""What huggingface_hub raises, said in one line with the next step."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sercli.errors import HubError, ModelNotFoundError, OutputError, SercliError, UsageError, first_line
from sercli.hub.reference import HubReference

ANSWER_SECONDS = 30.0  # huggingface_hub waits for most answers without end
ASKED_OFFLINE = "the Hub was not to be asked"
LOGIN = "`hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_trouble(reference: HubReference) -> Iterator[None]:
    """Turn what goes wrong with a repository of the Hub into errors of our own.

    Raises:
        ModelNotFoundError: no such repository, revision or file
        HubError: cannot be reached, refused, broken off
        OutputError: the cache cannot be written
    """
    from huggingface_hub import get_session

    hooks = get_session().event_hooks["request"]
    hooks.append(_limit)
    try:
        yield
    except SercliError:
        raise
    except Exception as problem:  # the errors of the HTTP client differ between versions of the library
        raise explain(problem, reference) from problem
    finally:
        hooks.remove(_limit)


def _limit(request: Any) -> None:
    """Let no phase of a request wait for ever; limits that it has already stay."""
    given = request.extensions.get("timeout") or {}
    phases = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {phase: given.get(phase) or ANSWER_SECONDS for phase in phases}


def explain(problem: Exception, reference: HubReference) -> SercliError:
    """Find the error that says what happened to a repository; no token or header is ever part of it."""
    from huggingface_hub import constants, errors

    if isinstance(problem, errors.RevisionResolutionError | errors.LocalEntryNotFoundError):
        cause = problem.__cause__  # they say that the cache was no help either
        return explain(cause, reference) if isinstance(cause, Exception) else not_cached(reference, ASKED_OFFLINE)
    if type(problem) is RuntimeError and isinstance(problem.__cause__, Exception):  # of one of several uploads
        return explain(problem.__cause__, reference)
    place = f"{constants.ENDPOINT}/{reference.repository}"
    status = getattr(getattr(problem, "response", None), "status_code", None)
    if isinstance(problem, errors.HFValidationError):
        return UsageError(f"{reference}: not a repository's name; write hf:OWNER/REPO@REVISION")
    if isinstance(problem, errors.GatedRepoError):
        return HubError(f"{reference}: its owner grants access by request; ask for it on {place}, then {LOGIN}")
    if isinstance(problem, errors.RevisionNotFoundError):
        return ModelNotFoundError(f"{reference}: no such revision; see 'Files and versions' of {place}")
    if isinstance(problem, errors.RemoteEntryNotFoundError):
        return ModelNotFoundError(f"{reference}: a file it lists is not there; try again, or name another revision")
    if isinstance(problem, errors.RepositoryNotFoundError):
        return ModelNotFoundError(f"{reference}: no such repository, or it is private; check the name, or {LOGIN}")
    if status in (401, 403):
        return HubError(
            f"{reference}: {constants.ENDPOINT} refused (HTTP {status}); check your token's rights: {LOGIN}"
        )
    if status is not None:
        return HubError(f"{reference}: {constants.ENDPOINT} answered HTTP {status}; try again later")
    if constants.HF_HUB_OFFLINE or isinstance(problem, errors.OfflineModeIsEnabled):
        return not_cached(reference, "HF_HUB_OFFLINE is set")
    return _explain_system(problem, reference)


def not_cached(reference: HubReference, reason: str) -> HubError:
    """Say that what is asked for would have to come from the Hub, which must not be asked."""
    return HubError(
        f"{reference}: not in the cache and {reason}; pull it once with a network: sercli zoo pull {reference}"
    )


def _explain_system(problem: Exception, reference: HubReference) -> SercliError:
    """Explain what the operating system or the network reports."""
    from huggingface_hub import constants

    code = getattr(problem, "errno", None)
    if code == errno.ENOSPC:
        return OutputError(f"{reference}: disk full in {constants.HF_HUB_CACHE}; free some, or set HF_HOME elsewhere")
    if code is not None and getattr(problem, "filename", None) is not None:
        place = constants.HF_HUB_CACHE
        reason = os.strerror(code)
        return OutputError(f"{place}: cannot be written ({reason}); check its rights, or set HF_HOME elsewhere")
    if "Timeout" in type(problem).__name__:
        return HubError(f"{reference}: {constants.ENDPOINT} does not answer; try again later, finished files are kept")
    reason = first_line(problem)
    if "Consistency check failed" in reason or "content-length" in reason.lower() or _broken_off(problem):
        return HubError(f"{reference}: the download broke off; run the command again, finished files are kept")
    return HubError(
        f"{reference}: {constants.ENDPOINT} cannot be reached ({reason}); connect, name a mirror in HF_ENDPOINT, "
        "or use what is cached with --offline"
    )


def _broken_off(problem: BaseException) -> bool:
    return type(problem).__name__ in ("RemoteProtocolError", "ReadError")

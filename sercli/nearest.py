"""The nearest name to what somebody wrote: every error that knows the right names asks here."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str:
    """Find the known name that is most like a word, in any case; empty if none is like it."""
    names = {name.casefold(): name for name in known}
    found = get_close_matches(str(word).casefold(), names, n=1)
    return names[found[0]] if found else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "x"?)` for the most similar known name, or an empty string."""
    found = closest(word, known)
    return f' (did you mean "{found}"?)' if found else ""


def nearest_or_all(word: str, known: Iterable[str], place: str = "") -> str:
    """Return `did you mean x?` for the most similar known name, or `known: ` and all of them.

    Args:
        word: what was written
        known: names that would have been right
        place: what stands before such a name, for example `optim.`
    """
    names = list(known)
    found = closest(word, names)
    return f"did you mean {place}{found}?" if found else f"known: {', '.join(names)}"

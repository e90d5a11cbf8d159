from __future__ import annotations

import pytest

from sercli.corpora.table import Utterance
from sercli.evaluation.model import Heard
from sercli.evaluation.seen import seen

HEARD = Heard(frozenset([("a", "1"), ("a", "2"), ("b", "1")]), frozenset([("a", "3")]))


def of(*speakers: str) -> list[Utterance]:
    """Utterances of "corpus/speaker"."""
    return [
        Utterance(f"{number}.wav", corpus=speaker.partition("/")[0], speaker=speaker.partition("/")[2])
        for number, speaker in enumerate(speakers)
    ]


@pytest.mark.parametrize(
    ("heard", "speakers", "status", "met", "clips", "message"),
    [
        (HEARD, ["a/4", "b/2", "c/1"], "unseen", [], 0, "no speaker in common"),
        (HEARD, ["a/1", "a/1", "b/1"], "seen", ["a/1", "b/1"], 3, "trained on a/1, b/1: 3 of 3 utterances"),
        (HEARD, ["a/3"], "seen", ["a/3"], 1, "selected and calibrated on a/3: 1 of 1"),
        (HEARD, ["a/4", "a/2", "a/3"], "partly seen", ["a/2", "a/3"], 2, "trained on a/2 and selected and calib"),
        (HEARD, ["a/", "c/7"], "unknown", [], 0, "1 utterances name no corpus, or no speaker of a training corpus"),
        (HEARD, ["/1"], "unknown", [], 0, "nobody can tell"),
        (HEARD, ["c/"], "unseen", [], 0, "no speaker in common"),  # nobody of that corpus was heard
        (None, ["a/1"], "unknown", [], 0, "does not say whom it was trained on"),
    ],
)
def test_who_was_heard_before(
    heard: Heard | None, speakers: list[str], status: str, met: list[str], clips: int, message: str
) -> None:
    found = seen(heard, of(*speakers))
    assert (found["status"], found["speakers"], found["utterances"]) == (status, met, clips)
    assert message in found["message"]


def test_many_are_counted_not_named() -> None:
    people = [f"a/{number:02d}" for number in range(20)]
    found = seen(Heard(frozenset(("a", name[2:]) for name in people), frozenset()), of(*people))
    assert found["speakers"] == people
    assert "a/05 and 14 more: 20 of 20 utterances" in found["message"]

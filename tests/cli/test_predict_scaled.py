"""`predict --engine ray` before it needs a cluster: which shards are left, and what cannot be resumed."""

from __future__ import annotations

import pytest

from sercli.cli.predict_scaled import _unfinished
from sercli.errors import OutputError
from sercli.runtime.batch import Report
from sercli.runtime.inputs import Input
from sercli.scale.shards import Finished, Shard, shards


class Bar:
    """Counts what it is told."""

    count = 0

    def update(self, count: int) -> None:
        self.count += count


def cut(names: str) -> list[Shard]:
    return list(shards([Input(name, name, name) for name in names], 2))


def mark(shard: Shard, failed: int = 0) -> Finished:
    report = Report(done=len(shard.inputs) - failed, failed=failed)
    return Finished.of(shard, f"part-{shard.number:08d}.jsonl", len(shard.inputs), report)


def test_finished_shards_are_counted_and_left_out() -> None:
    found, report, bar = cut("abcdefg"), Report(), Bar()
    marks = {0: mark(found[0]), 2: mark(found[2], failed=1)}
    left = list(_unfinished(found, marks, report, bar))
    assert [shard.number for shard in left] == [1, 3]
    assert (report.resumed, report.failed, report.done, bar.count) == (3, 1, 0, 4)


def test_marks_that_are_made_on_the_way_do_not_count_as_finished_before() -> None:
    found, report, marks = cut("abcd"), Report(), dict[int, Finished]()
    for shard in _unfinished(found, marks, report, Bar()):
        marks[shard.number] = mark(shard)
    assert (len(marks), report.resumed) == (2, 0)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ("abXdef", "part-00000001.jsonl: was made of other inputs than X and what follows"),
        ("abbcdef", "part-00000001.jsonl: was made of other inputs than b and what follows"),
        ("abcd", "part-00000002.jsonl: has inputs that are gone"),
    ],
)
def test_other_inputs_are_refused(now: str, message: str) -> None:
    marks = {shard.number: mark(shard) for shard in cut("abcdef")}
    with pytest.raises(OutputError, match=message):
        list(_unfinished(cut(now), marks, Report(), Bar()))

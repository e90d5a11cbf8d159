from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sercli.corpora.table import Utterance, read_table, write_table
from sercli.errors import CorpusError, LabelError, UsageError
from sercli.evaluation.task import NO_LABEL, OWN, SHARED, ask, ratings, table_sha256, votes
from sercli.labels import SEVEN

THREE = ("sad", "neutral", "angry")


def said(*emotions: str, corpus: str = "x", **others: float) -> list[Utterance]:
    return [
        Utterance(f"/clips/{number}.wav", corpus=corpus, speaker=f"s{number}", emotion=emotion, **others)
        for number, emotion in enumerate(emotions)
    ]


def test_shared_labels_are_those_of_model_and_data_in_the_models_order() -> None:
    task = ask(said("angry", "boredom", "Calm", "boredom", "happy", ""), THREE)
    assert task.labels == ("neutral", "angry")
    assert task.label_set == SHARED
    assert [utterance.emotion for utterance in task.utterances] == ["angry", "neutral"]  # calm counts as neutral
    assert task.left_out == {"boredom": 2, "happy": 1, NO_LABEL: 1}


def test_own_labels_stay_open_also_where_the_data_lack_them() -> None:
    task = ask(said("angry", "sad", "boredom"), SEVEN, OWN)
    assert task.labels == SEVEN
    assert task.label_set == OWN
    assert task.left_out == {"boredom": 1}
    with pytest.raises(LabelError, match="share 1 labels"):
        ask(said("angry", "angry"), SEVEN, OWN)


def test_a_named_set_is_measured_whole() -> None:
    task = ask(said("fear", "sad", "angry", "happy", "neutral", "excited", "disgust"), SEVEN, "iemocap4")
    assert task.labels == ("neutral", "happy", "sad", "angry")
    assert [utterance.emotion for utterance in task.utterances] == ["sad", "angry", "happy", "neutral", "happy"]
    assert task.left_out == {"disgust": 1, "fear": 1}


@pytest.mark.parametrize(
    ("emotions", "known", "label_set", "message"),
    [
        (("sad", "angry"), THREE, "iemocap4", "the model has no label happy of iemocap4"),
        (("sad", "angry", "happy"), SEVEN, "iemocap4", "no utterance of neutral, so iemocap4 cannot be measured"),
        (("sad", "happy"), THREE, SHARED, "model and data share 1 labels, two are needed"),
        (("boredom", "happy"), THREE, SHARED, "share 0 labels.*data: boredom, happy"),
        (("sad", "angry", "agnry"), THREE, SHARED, 'unknown emotion "agnry" of corpus x .did you mean "angry"'),
        (("sad", "angry"), THREE, "iemocap", 'unknown label set "iemocap".*iemocap4'),
    ],
)
def test_labels_that_cannot_be_asked_are_refused(
    emotions: tuple[str, ...], known: tuple[str, ...], label_set: str, message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        ask(said(*emotions), known, label_set)


def test_nothing_and_twice_the_same_are_refused() -> None:
    with pytest.raises(CorpusError, match="no utterances"):
        ask([], THREE)
    utterances = said("sad", "angry")
    with pytest.raises(CorpusError, match=r"/clips/1\.wav: from 0 s on 2 times"):
        ask([*utterances, utterances[1]], THREE)
    assert len(ask([*utterances, replace(utterances[1], start=2.0)], THREE).utterances) == 3


def test_ratings_are_asked_of_models_that_rate() -> None:
    utterances = [*said("sad", "angry"), Utterance("/r.wav", corpus="x", valence=0.5), Utterance("/n.wav", corpus="x")]
    assert [u.emotion for u in ask(utterances, THREE).utterances] == ["sad", "angry"]
    task = ask(utterances, THREE, rates=True)
    assert [u.emotion for u in task.utterances] == ["sad", "angry", ""]
    assert task.left_out == {NO_LABEL: 1}

    # one label in common is no choice, so only the ratings are left
    task = ask([*said("sad", "happy", valence=0.1), *utterances[2:]], THREE, rates=True)
    assert (task.labels, [u.emotion for u in task.utterances]) == ((), ["", "", ""])
    assert task.left_out == {"happy": 1, "sad": 1, NO_LABEL: 1}
    with pytest.raises(LabelError, match="share 1 labels"):
        ask(said("sad", "happy"), THREE, rates=True)


def test_votes_go_where_the_labels_go() -> None:
    utterances = [
        Utterance("a.wav", votes='{"excited": 2, "happy": 1, "frustrated": 4, "who knows": 1}'),
        Utterance("b.wav", votes='{"Anger": 1.5, "calm": 1}'),
        Utterance("c.wav"),
    ]
    assert votes(utterances, ("happy", "neutral", "angry")).tolist() == [[3, 0, 0], [0, 1, 1.5], [0, 0, 0]]
    for wrong in ('{"sad": "two"}', '{"sad": -1}', '{"sad": NaN}', '{"sad": null}'):
        with pytest.raises(CorpusError, match=r'a\.wav: votes of .* for "sad"'):
            votes([Utterance("a.wav", votes=wrong)], THREE)


def test_ratings_come_to_one_scale() -> None:
    iemocap = Utterance("i.wav", corpus="iemocap", arousal=3.0, valence=1.0)
    podcast = Utterance("m.wav", corpus="msp-podcast", arousal=4.0, dominance=7.0)
    own = Utterance("o.wav", corpus="mine", arousal=0.25)
    found = ratings([iemocap, podcast, own, Utterance("u.wav")])
    expected = [[0.5, 0, math.nan], [0.5, math.nan, 1], [0.25, math.nan, math.nan], [math.nan] * 3]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(ratings([own], (-1.0, 1.0))[0, 0], 0.625)
    with pytest.raises(CorpusError, match=r"i\.wav: .* outside 0 to 2; say the table's scale with --scale"):
        ratings([iemocap], (0.0, 2.0))
    with pytest.raises(CorpusError, match=r"o\.wav: .* outside 0 to 1"):
        ratings([replace(own, valence=-0.5)])
    with pytest.raises(UsageError, match="lowest value first"):
        ratings([iemocap], (5.0, 1.0))


def test_the_hash_is_of_the_test_not_of_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "corpus"
    folder.mkdir(parents=True)
    utterances = [replace(u, path=str(folder / Path(u.path).name)) for u in said("sad", "angry", "neutral")]
    write_table(utterances, folder / "t.csv")
    first = table_sha256(read_table(folder / "t.csv"))
    shutil.copytree(folder, tmp_path / "elsewhere")
    moved = read_table(tmp_path / "elsewhere" / "t.csv")
    assert table_sha256(moved) == first
    assert table_sha256(moved[::-1]) == first
    assert table_sha256([replace(utterance, weight=3.0) for utterance in moved]) == first  # of training, not of a test
    for change in ({"emotion": "happy"}, {"start": 0.5}, {"speaker": "s9"}, {"arousal": 0.5}):
        assert table_sha256([replace(moved[0], **change), *moved[1:]]) != first
    assert table_sha256(moved[1:]) != first

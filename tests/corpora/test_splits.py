from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sercli.corpora import CORPORA, read_corpus
from sercli.corpora.splits import (
    Fold,
    Protocol,
    Split,
    check_disjoint,
    cross_corpus,
    holdout,
    holdouts,
    named_holdout,
    protocol,
    protocols,
    split,
)
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, LeakError, UsageError
from sercli.labels import LABEL_SETS, SEVEN, relabel

ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
EMODB_WOMEN = ("08", "09", "13", "14", "16")
EMODB_MEN = ("03", "10", "11", "12", "15")


def people(corpus: str, speakers: tuple[str, ...], each: int = 2) -> list[Utterance]:
    return [
        Utterance(f"/{corpus}/{speaker}-{take}.wav", corpus=corpus, speaker=speaker, emotion="happy")
        for speaker in speakers
        for take in range(each)
    ]


def test_names() -> None:
    assert protocols() == [
        "aesdd-loso",
        "cremad-emosuperb5",
        "emodb-loso",
        "iemocap-loso5",
        "iemocap-random80",
        "msp-podcast-official",
        "nemo-loso",
        "ravdess-5fold",
        "ravdess-emobox6",
    ]
    assert holdouts() == ["release"]


SPEAKERS = {
    "ravdess": ACTORS,
    "emodb": tuple(sorted(EMODB_WOMEN + EMODB_MEN)),
    "aesdd": ("1", "2", "3", "4", "5", "6"),
    "nemo": ("EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0"),
    "iemocap": tuple(f"Ses0{session}{who}" for session in range(1, 6) for who in "FM"),
    "cremad": tuple(str(actor) for actor in range(1001, 1092)),
}


@pytest.mark.parametrize("name", sorted({*protocols()} - {"msp-podcast-official", "iemocap-random80"}))
def test_protocols_are_sound(name: str) -> None:
    found = protocol(name)
    speakers = SPEAKERS[found.corpus]
    assert isinstance(found, Protocol)
    assert found.name == name
    assert found.corpus in CORPORA
    assert set(LABEL_SETS[found.label_set]) <= set(CORPORA[found.corpus].labels)
    assert found.source
    assert found.dev_rule
    assert len({fold.name for fold in found.folds}) == len(found.folds)
    tested = [speaker for fold in found.folds for speaker in fold.test]
    assert sorted(tested) == list(speakers), "every speaker is tested exactly once"
    for fold in found.folds:
        assert not set(fold.test) & set(fold.dev)
        parts = split(people(found.corpus, speakers), fold)
        assert {u.speaker for u in parts.test} == set(fold.test)
        assert {u.speaker for u in parts.dev} == set(fold.dev)
        assert len(parts.train) + len(parts.dev) + len(parts.test) == 2 * len(speakers)


def test_emobox_folds_as_published_and_dev_rule_followed() -> None:
    folds = protocol("ravdess-emobox6").folds
    assert [fold.test for fold in folds] == [
        ("01", "11", "20", "21"),
        ("04", "10", "12", "14"),
        ("08", "09", "19", "23"),
        ("03", "05", "07", "24"),
        ("02", "15", "16", "18"),
        ("06", "13", "17", "22"),
    ]
    for number, fold in enumerate(folds):
        order = [actor for actor in ACTORS[4 * number :] + ACTORS[: 4 * number] if actor not in fold.test]
        men = [actor for actor in order if int(actor) % 2][:2]
        women = [actor for actor in order if int(actor) % 2 == 0][:2]
        assert fold.dev == tuple(sorted(men + women))


def test_reslstm_folds_as_published() -> None:
    assert [(fold.test, fold.dev) for fold in protocol("ravdess-5fold").folds] == [
        (("02", "05", "14", "15", "16"), ("03", "06")),
        (("03", "06", "07", "13", "18"), ("10", "11")),
        (("10", "11", "12", "19", "20"), ("08", "17")),
        (("08", "17", "21", "23", "24"), ("01", "14")),
        (("01", "04", "09", "22"), ("02", "05")),
    ]


def test_iemocap_leaves_out_a_session_with_both_its_speakers() -> None:
    folds = protocol("iemocap-loso5").folds
    assert [fold.test for fold in folds] == [(f"Ses0{s}F", f"Ses0{s}M") for s in range(1, 6)]
    assert [fold.dev for fold in folds] == [(f"Ses0{s}F", f"Ses0{s}M") for s in (2, 3, 4, 5, 1)]


def test_emosuperb_sets_of_cremad() -> None:
    sets = {"S2": (1001, 1018), "S5": (1019, 1036), "S1": (1037, 1054), "S4": (1055, 1072), "S3": (1073, 1091)}
    actors = {name: tuple(str(actor) for actor in range(first, last + 1)) for name, (first, last) in sets.items()}
    test_dev = [("S2", "S5"), ("S5", "S1"), ("S1", "S4"), ("S4", "S3"), ("S3", "S2")]
    folds = protocol("cremad-emosuperb5").folds
    assert [(fold.test, fold.dev) for fold in folds] == [(actors[test], actors[dev]) for test, dev in test_dev]


def test_official_partitions_leave_out_what_they_do_not_name() -> None:
    partitions = {"a": "Train", "b": "Development", "c": "Test1", "d": "Test2", "e": "Test3"}
    utterances = [replace(u, session=partitions[u.speaker]) for u in people("msp-podcast", tuple("abcde"))]
    official = protocol("msp-podcast-official")
    parts = split(utterances, official.folds[1], official.by)
    assert [{u.speaker for u in side} for side in (parts.train, parts.dev, parts.test)] == [{"a"}, {"b"}, {"d"}]
    leaking = [*utterances, replace(utterances[0], session="Test1")]
    with pytest.raises(LeakError, match="speakers on both the train and the test side: msp-podcast/a"):
        split(leaking, official.folds[0], official.by)


def test_across_corpora_each_trains_once_and_all_others_test() -> None:
    utterances = people("one", ("a", "b")) + people("two", ("a",)) + people("three", ("a",))
    found = cross_corpus((u.corpus for u in utterances), "seven")
    assert [(fold.name, fold.train, fold.test) for fold in found.folds] == [
        ("one", ("one",), ("three", "two")),
        ("three", ("three",), ("one", "two")),
        ("two", ("two",), ("one", "three")),
    ]
    parts = split(utterances, found.folds[0], found.by)
    assert {(u.corpus, u.speaker) for u in parts.train} == {("one", "a"), ("one", "b")}
    assert {(u.corpus, u.speaker) for u in parts.test} == {("two", "a"), ("three", "a")}
    with pytest.raises(UsageError, match="needs two corpora, here is one"):
        cross_corpus(["one", "one"], "seven")


def test_the_random_split_tests_every_utterance_once_and_says_that_it_leaks() -> None:
    found = protocol("iemocap-random80")
    assert (found.leaks, protocol("iemocap-loso5").leaks) == (True, False)
    utterances = people("iemocap", SPEAKERS["iemocap"], each=50)
    tested: list[Utterance] = []
    for fold in found.folds:
        parts = split(utterances, fold, found.by)
        assert parts.leaks
        assert (len(parts.train), len(parts.dev), len(parts.test)) == (400, 0, 100)
        assert {u.speaker for u in parts.test} == {u.speaker for u in parts.train}
        tested += parts.test
    assert sorted(tested, key=lambda u: u.path) == sorted(utterances, key=lambda u: u.path)
    # the same wherever the corpus lies and in whatever order it is read
    elsewhere = [replace(u, path=f"/elsewhere{u.path}") for u in reversed(utterances)]
    again = split(elsewhere, found.folds[0], found.by).test
    first = split(utterances, found.folds[0], found.by).test
    assert {Path(u.path).name for u in again} == {Path(u.path).name for u in first}
    with pytest.raises(LeakError, match="an utterance stands on two sides"):
        check_disjoint(replace(parts, train=utterances))


def test_emodb_dev_rule_followed() -> None:
    everyone = sorted(EMODB_WOMEN + EMODB_MEN)
    for index, fold in enumerate(protocol("emodb-loso").folds):
        assert fold.test == (everyone[index],)
        after = everyone[index + 1 :] + everyone[:index]
        pair = [next(s for s in after if s in EMODB_WOMEN), next(s for s in after if s in EMODB_MEN)]
        assert fold.dev == tuple(sorted(pair))


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r'unknown protocol "ravdess-emobox" \(did you mean "ravdess-emobox6"\?\)'):
        protocol("ravdess-emobox")
    with pytest.raises(UsageError, match='unknown holdout "x"; choose one of release'):
        named_holdout("x")
    with pytest.raises(UsageError, match="unknown protocol"):
        protocol("../holdouts/release")


def test_a_leaking_split_is_refused() -> None:
    one, two = people("mine", ("anna", "ben"), each=1)
    for leaking in (Split([one, two], [], [one]), Split([one], [one], [two]), Split([two], [one], [one])):
        with pytest.raises(LeakError, match=r"speakers on both the .* side: mine/anna; put each on one side only"):
            check_disjoint(leaking)
    check_disjoint(Split([one], [], [two]))


def test_the_same_speaker_name_in_two_corpora_is_two_people() -> None:
    (one,) = people("ravdess", ("01",), each=1)
    check_disjoint(Split([one], [], [replace(one, corpus="aesdd")]))


def test_a_fold_that_names_a_speaker_twice_is_refused() -> None:
    with pytest.raises(LeakError, match="fold 1 has b in test and dev; name each speaker once"):
        split(people("mine", ("a", "b")), Fold("1", ("b",), ("b",)))


def test_no_speaker_no_split() -> None:
    utterances = [*people("mine", ("a", "b")), Utterance("/x.wav", corpus="mine")]
    with pytest.raises(CorpusError, match=r"/x\.wav: speaker unknown, cannot be split"):
        split(utterances, Fold("1", ("a",), ()))


def test_incomplete_or_mixed_corpus_is_refused() -> None:
    with pytest.raises(CorpusError, match="fold 1 names speakers without utterances: c"):
        split(people("mine", ("a", "b")), Fold("1", ("a",), ("c",)))
    with pytest.raises(CorpusError, match="fold 1 is of one corpus, not of mine, yours"):
        split(people("mine", ("a",)) + people("yours", ("a",)), Fold("1", ("a",), ()))


def test_holdout_over_corpora() -> None:
    utterances = people("one", ("a", "b")) + people("two", ("a", "b")) + people("three", ("a",))
    parts = holdout(utterances, {"one": ("a",), "two": ("b",), "three": (), "absent": ("z",)})
    assert {(u.corpus, u.speaker) for u in parts.dev} == {("one", "a"), ("two", "b")}
    assert {(u.corpus, u.speaker) for u in parts.train} == {("one", "b"), ("two", "a"), ("three", "a")}
    assert parts.test == []
    with pytest.raises(CorpusError, match="the holdout names speakers without utterances: one/z"):
        holdout(utterances, {"one": ("z",)})


def test_release_names_known_corpora() -> None:
    release = named_holdout()
    assert set(release.dev_speakers) <= set(CORPORA)
    assert release.dev_speakers["tess"] == ()
    assert release.source


@pytest.mark.parametrize("name", ["aesdd-loso", "emodb-loso", "nemo-loso", "ravdess-5fold", "ravdess-emobox6"])
def test_real_folds_train_and_select_on_every_class(data_root: Path, name: str) -> None:
    found = protocol(name)
    utterances = relabel(read_corpus(found.corpus, data_root / found.corpus), found.label_set)
    tested = 0
    for fold in found.folds:
        parts = split(utterances, fold)
        tested += len(parts.test)
        for side in (parts.train, parts.dev):
            assert {u.emotion for u in side} == set(LABEL_SETS[found.label_set])
        genders = {u.speaker: u.gender for u in parts.dev}
        assert Counter(genders.values())["f"] == Counter(genders.values())["m"]
    assert tested == len(utterances) == CORPORA[found.corpus].utterances


def test_real_release_split(data_root: Path) -> None:
    release = named_holdout()
    utterances = [u for name in release.dev_speakers for u in read_corpus(name, data_root / name)]
    parts = holdout(relabel(utterances, "seven"), release.dev_speakers)
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (8256, 1523, 0)
    assert {u.emotion for u in parts.dev} == set(SEVEN)

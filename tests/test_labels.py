import itertools

import pytest

from sercli.corpora import CORPORA
from sercli.corpora.table import Utterance
from sercli.errors import LabelError
from sercli.labels import COLOURS, LABEL_SETS, NATIVE, SEVEN, SYNONYMS, labels_of, map_label, relabel


@pytest.mark.parametrize(
    ("word", "label_set", "label"),
    [
        ("neutral", "seven", "neutral"),
        ("calm", "seven", "neutral"),
        ("calm", "ravdess8", "calm"),
        ("calm", "emodb7", "neutral"),
        ("happiness", "seven", "happy"),
        ("exc", "seven", "happy"),
        ("Anger", "seven", "angry"),
        ("fearful", "seven", "fear"),
        ("ps", "seven", "surprise"),
        ("pleasant_surprised", "seven", "surprise"),
        ("Pleasant-Surprise", "nemo6", "surprise"),
        ("boredom", "seven", None),
        ("bored", "emodb7", "boredom"),
        ("surprise", "emodb7", None),
        ("frustrated", "seven", None),
        ("xxx", "seven", None),
        ("", "seven", None),
        ("", NATIVE, None),
        ("boredom", NATIVE, "boredom"),
        ("Sadness", NATIVE, "sad"),
        ("Awe", NATIVE, "awe"),
    ],
)
def test_map_label(word: str, label_set: str, label: str | None) -> None:
    assert map_label(word, label_set) == label


def test_unknown_emotion_names_corpus_and_nearest_word() -> None:
    with pytest.raises(LabelError, match=r'unknown emotion "hapy" of corpus mine \(did you mean "happy"\?\)'):
        map_label("hapy", "seven", "mine")


def test_unknown_set_names_the_nearest() -> None:
    with pytest.raises(LabelError, match=r'unknown label set "sevn" \(did you mean "seven"\?\); choose one of seven,'):
        labels_of("sevn")


def test_relabel_maps_drops_and_keeps_the_rest_of_the_record() -> None:
    calm = Utterance("a.wav", corpus="ravdess", speaker="01", emotion="calm", weight=2.0)
    bored = Utterance("b.wav", emotion="boredom")
    nothing = Utterance("c.wav")
    happy = Utterance("d.wav", emotion="happy")
    assert relabel([calm, bored, nothing, happy], "seven") == [
        Utterance("a.wav", corpus="ravdess", speaker="01", emotion="neutral", weight=2.0),
        happy,
    ]


def test_seven_is_what_the_mission_says() -> None:
    assert SEVEN == ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise") == LABEL_SETS["seven"]


def test_labels_of_ones_own() -> None:
    assert labels_of("anger, tense,Calm") == ("angry", "tense", "calm")
    utterances = [Utterance("/a.wav", emotion=word) for word in ("Tense", "angry", "happy", "calmness")]
    assert [utterance.emotion for utterance in relabel(utterances, "angry,tense,calm")] == ["tense", "angry", "calm"]
    with pytest.raises(LabelError, match="each once; angry, angry is what it says"):
        labels_of("angry,anger")
    with pytest.raises(LabelError, match="two labels or more"):
        labels_of("angry,")
    with pytest.raises(LabelError, match='unknown emotion "Tense"'):
        relabel(utterances, "seven")


@pytest.mark.parametrize("name", list(LABEL_SETS))
def test_sets_hold_canonical_words_once_and_have_colours(name: str) -> None:
    labels = LABEL_SETS[name]
    assert len(set(labels)) == len(labels)
    assert set(labels) <= set(SYNONYMS)
    assert set(labels) <= set(COLOURS)


def test_no_synonym_stands_for_two_emotions() -> None:
    words = list(itertools.chain.from_iterable((label, *others) for label, others in SYNONYMS.items()))
    assert len(words) == len(set(words))


def test_colours_differ() -> None:
    assert len(set(COLOURS.values())) == len(COLOURS)


@pytest.mark.parametrize("corpus", list(CORPORA))
def test_corpora_use_canonical_words(corpus: str) -> None:
    labels = CORPORA[corpus].labels
    assert [map_label(label, NATIVE) for label in labels] == list(labels)

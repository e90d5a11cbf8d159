"""Adapters of the smaller corpora, on trees of empty files named as in the releases."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sercli.corpora import ased, baved, cafe, emovdb, jl, savee, turev, urdu
from sercli.corpora.corpus import AUDIO_SUFFIXES, Corpus
from sercli.corpora.table import Utterance
from sercli.labels import normalise

Tree = Callable[[Iterable[str]], Path]

CORPORA = {module.CORPUS.name: module.CORPUS for module in (savee, cafe, jl, urdu, emovdb, ased, turev, baved)}
JL_FOLDER = "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)"


def by_name(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {Path(utterance.path).stem: utterance for utterance in utterances}


def first_path(corpus: Corpus) -> str:
    return corpus.layout.split(", or ")[0]


def test_names_are_those_of_the_command_line() -> None:
    assert list(CORPORA) == ["savee", "cafe", "jl", "urdu", "emovdb", "ased", "turev", "baved"]


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_labels_are_canonical_words(corpus: Corpus) -> None:
    assert [normalise(label) for label in corpus.labels] == list(corpus.labels)
    assert len(set(corpus.labels)) == len(corpus.labels)


@pytest.mark.parametrize("wrapping", ["", "copy-main/"])
@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_every_layout_of_the_error_message_is_read(make_tree: Tree, corpus: Corpus, wrapping: str) -> None:
    for number, path in enumerate(corpus.layout.split(", or ")):
        root = make_tree([f"{number}/{wrapping}{path}"]) / str(number)
        assert [utterance.path for utterance in corpus.read(root)] == [str(root / wrapping / path)]


@pytest.mark.parametrize("ending", sorted(AUDIO_SUFFIXES))
@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_a_reencoded_copy_is_read(make_tree: Tree, corpus: Corpus, ending: str) -> None:
    path = Path(first_path(corpus)).with_suffix(ending)
    root = make_tree([str(path), f"{path.parent}/._{path.name}", f"{path}.txt", "documents/readme.wav"])
    (utterance,) = corpus.read(root)
    assert utterance.path == str(root / path)
    assert utterance.corpus == corpus.name
    assert utterance.speaker
    assert utterance.emotion in corpus.labels


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_files_of_other_corpora_are_left_alone(make_tree: Tree, corpus: Corpus) -> None:
    others = [first_path(other) for other in CORPORA.values() if other is not corpus]
    strangers = ["Actor_01/03-01-06-01-02-01-01.wav", "wav/03a01Wa.wav", "anger/a01 (1).wav", "OAF_back_angry.wav"]
    assert corpus.read(make_tree([*others, *strangers])) == []


def savee_names() -> list[str]:
    """The 30 neutral sentences of a speaker and 15 of each other emotion."""
    return [
        f"{code}{sentence:02d}"
        for code in ("a", "d", "f", "h", "n", "sa", "su")
        for sentence in range(1, 31 if code == "n" else 16)
    ]


@pytest.mark.parametrize("form", ["AudioData/{0}/{1}.wav", "ALL/{0}_{1}.wav"])
def test_savee_whole_release(make_tree: Tree, form: str) -> None:
    root = make_tree(form.format(speaker, name) for speaker in ("DC", "JE", "JK", "KL") for name in savee_names())
    utterances = savee.read(root)
    assert len(utterances) == savee.CORPUS.utterances == 480
    assert Counter(u.speaker for u in utterances) == dict.fromkeys(("DC", "JE", "JK", "KL"), 120)
    assert Counter(u.emotion for u in utterances) == {
        label: 120 if label == "neutral" else 60 for label in savee.CORPUS.labels
    }
    assert {u.gender for u in utterances} == {"m"}


def test_savee_in_both_forms_and_without_a_speaker(make_tree: Tree) -> None:
    root = make_tree(
        ["ALL/KL_sa03.wav", "AudioData/KL/sa03.wav", "AudioData/KL/su03.wav", "mine/a01.wav", "XY_a01.wav"]
    )
    assert savee.read(root) == [
        Utterance(str(root / "ALL/KL_sa03.wav"), corpus="savee", speaker="KL", gender="m", emotion="sad"),
        Utterance(str(root / "AudioData/KL/su03.wav"), corpus="savee", speaker="KL", gender="m", emotion="surprise"),
    ]


CAFE_FOLDERS = {
    "C": "Colère",
    "D": "Dégoût",
    "J": "Joie",
    "N": "Neutre",
    "P": "Peur",
    "S": "Surprise",
    "T": "Tristesse",
}


def test_cafe_whole_release(make_tree: Tree) -> None:
    names = []
    for actor, code, sentence in itertools.product(range(1, 13), CAFE_FOLDERS, range(1, 7)):
        for intensity, folder in enumerate(("Faible/", "Fort/"), start=1):
            if code != "N" or intensity == 1:  # neutral has one intensity, and no folder for it
                folder = "" if code == "N" else folder
                names.append(f"CaFE_48k/{CAFE_FOLDERS[code]}/{folder}{actor:02d}-{code}-{intensity}-{sentence}.wav")
    utterances = cafe.read(make_tree(names))
    assert len(utterances) == cafe.CORPUS.utterances == 936
    assert Counter(u.emotion for u in utterances) == {
        label: 72 if label == "neutral" else 144 for label in cafe.CORPUS.labels
    }
    assert len({u.speaker for u in utterances}) == cafe.CORPUS.speakers
    assert {u.speaker for u in utterances if u.gender == "f"} == {"02", "04", "06", "08", "10", "12"}
    last = by_name(utterances)["07-T-2-6"]
    assert (last.speaker, last.gender, last.emotion, last.text) == ("07", "m", "sad", "Six ours aimants domestiqués")


def test_cafe_with_garbled_folders_and_at_both_rates(make_tree: Tree) -> None:
    root = make_tree(
        [
            "CaFE_192k/D‚go–t/Fort/02-D-2-1.aiff",
            "CaFE_48k/D‚go–t/Fort/02-D-2-1.wav",
            "CaFE_48k/Readme/13-D-2-1.wav",  # there is no actor 13
        ]
    )
    assert cafe.read(root) == [
        Utterance(
            str(root / "CaFE_192k/D‚go–t/Fort/02-D-2-1.aiff"),
            corpus="cafe",
            speaker="02",
            gender="f",
            text="Un cheval fou dans mon jardin",
            emotion="disgust",
        )
    ]


def test_jl_whole_release(make_tree: Tree) -> None:
    speakers = ("female1", "female2", "male1", "male2")
    names = [
        f"{JL_FOLDER}/{speaker}_{emotion}_{sentence}{half}_{take}.wav"
        for speaker, emotion, sentence, half, take in itertools.product(
            speakers, jl.CORPUS.labels, range(1, 16), "ab", (1, 2)
        )
    ]
    utterances = jl.read(make_tree(names))
    assert len(utterances) == jl.CORPUS.utterances == 2400
    assert Counter((u.speaker, u.emotion) for u in utterances) == dict.fromkeys(
        itertools.product(speakers, jl.CORPUS.labels), 60
    )
    assert {(u.speaker, u.gender) for u in utterances} == {
        ("female1", "f"),
        ("female2", "f"),
        ("male1", "m"),
        ("male2", "m"),
    }


def test_jl_takes_texts_from_beside_the_audio_and_leaves_out_the_second_copy(make_tree: Tree) -> None:
    root = make_tree(
        [
            f"{JL_FOLDER}/male2_anxious_10a_1.wav",
            f"{JL_FOLDER}/male2_anxious_10a_1.txt",
            f"{JL_FOLDER}/male2_pensive_10a_1.wav",
            f"{JL_FOLDER.lower()}/male2_anxious_10a_1.wav",
            f"{JL_FOLDER.lower()}/male2_excited_3b_2.wav",
        ]
    )
    (root / JL_FOLDER / "male2_anxious_10a_1.txt").write_text("\ufeffThey laugh \r\n loudly.\n", encoding="utf-8")
    assert [(u.path, u.emotion, u.text) for u in jl.read(root)] == [
        (str(root / JL_FOLDER / "male2_anxious_10a_1.wav"), "anxious", "They laugh loudly."),
        (str(root / JL_FOLDER.lower() / "male2_excited_3b_2.wav"), "excited", ""),
    ]


# speakers of each folder in the order of its clips, which are numbered 01 ... 0100, and how many clips each has
URDU_CLIPS = {
    "Angry": "SM1 22 SM2 28 SM3 2 SM4 48",
    "Happy": "SF1 12 SF2 2 SF3 2 SF4 4 SF5 4 SF6 14 SF7 6 SF8 2 SM17 2 SM18 2 SM19 2 SM3 2 SM5 8 SM6 10 SM7 28",
    "Neutral": "SF9 4 SM20 10 SM21 4 SM22 2 SM3 8 SM5 72",
    "Sad": "SF10 2 SF11 4 SM23 6 SM24 38 SM25 40 SM26 2 SM27 4 SM6 4",
}


def urdu_names() -> list[str]:
    names = []
    for folder, clips in URDU_CLIPS.items():
        words = clips.split()
        owners = [
            (speaker, clip)
            for speaker, count in zip(words[::2], words[1::2], strict=True)
            for clip in range(1, int(count) + 1)
        ]
        names += [
            f"{folder}/{speaker}_F{clip}_{folder[0]}0{number}.wav" for number, (speaker, clip) in enumerate(owners, 1)
        ]
    return names


def test_urdu_whole_release(make_tree: Tree) -> None:
    utterances = urdu.read(make_tree(urdu_names()))
    assert len(utterances) == urdu.CORPUS.utterances == 400
    assert Counter(u.emotion for u in utterances) == dict.fromkeys(urdu.CORPUS.labels, 100)
    genders = dict({(u.speaker, u.gender) for u in utterances})
    assert len(genders) == urdu.CORPUS.speakers == 29
    assert Counter(genders.values()) == {"m": 18, "f": 11}
    last = by_name(utterances)["SM6_F4_S0100"]
    assert (last.speaker, last.gender, last.emotion) == ("SM6", "m", "sad")


@pytest.mark.parametrize("form", ["{0}_{1}/{2}.wav", "EmoV-DB_sorted/{0}/{1}/{2}.wav"])
def test_emovdb_tells_speakers_of_equal_file_names_apart(make_tree: Tree, form: str) -> None:
    files = [
        ("bea", "Amused", "amused_1-28_0001"),
        ("jenie", "Amused", "amused_1-28_0001"),
        ("josh", "Sleepy", "sleepiness_281-308_0288"),
        ("sam", "Angry", "anger_1-28_0011"),
        ("sam", "Disgusted", "disgust_336-364_0345"),
        ("josh", "Neutral", "Neutral_225_252_0026"),
    ]
    found = {(u.speaker, u.gender, u.emotion) for u in emovdb.read(make_tree(form.format(*file) for file in files))}
    assert found == {
        ("bea", "f", "amused"),
        ("jenie", "f", "amused"),
        ("josh", "m", "sleepy"),
        ("sam", "m", "angry"),
        ("sam", "m", "disgust"),
        ("josh", "m", "neutral"),
    }


def test_emovdb_without_speaker_folders_and_in_both_forms(make_tree: Tree) -> None:
    root = make_tree(
        [
            "amused_1-28_0001.wav",  # an archive unpacked where it lay: whose voice is it?
            "1/amused_1-28_0001.wav",
            "sam/notes/amused_1-28_0001.wav",
            "bea_Angry/amused.wav",
            "bea_Angry/anger_1-28_0002.wav",
            "EmoV-DB_sorted/bea/Angry/anger_1-28_0002.wav",
        ]
    )
    assert emovdb.read(root) == [
        Utterance(
            str(root / "EmoV-DB_sorted/bea/Angry/anger_1-28_0002.wav"),
            corpus="emovdb",
            speaker="bea",
            gender="f",
            emotion="angry",
        )
    ]
    assert len(emovdb.read(root / "bea_Angry")) == 1  # one archive alone


def test_ased(make_tree: Tree) -> None:
    root = make_tree(
        [
            "01Neutral/n1-01-01-01-01.wav",
            "02Fearful/f2-02-01-02-25.wav",  # a man by its name, a woman in all other files of speaker 25
            "02Fearful/f2-02-02-01-43.wav",
            "03Happy/h3-07-02-02-65.wav",
            "04Sad/s4-01-01-02-38.wav",
            "05Angry/a5-03-01-02-50.wav",
            "05Angry/a5-03-01-02.wav",
        ]
    )
    assert {(u.speaker, u.gender, u.emotion) for u in ased.read(root)} == {
        ("01", "f", "neutral"),
        ("25", "f", "fear"),
        ("43", "f", "fear"),
        ("65", "m", "happy"),
        ("38", "m", "sad"),
        ("50", "m", "angry"),
    }


def test_ased_has_25_women_and_40_men(make_tree: Tree) -> None:
    utterances = ased.read(make_tree(f"01Neutral/n1-01-01-01-{speaker:02d}.wav" for speaker in range(1, 66)))
    assert Counter(u.gender for u in utterances) == {"f": 25, "m": 40}
    assert len({u.speaker for u in utterances}) == ased.CORPUS.speakers


@pytest.mark.parametrize("inside", [False, True])
def test_turev_reads_recordings_not_filtered_copies(make_tree: Tree, inside: bool) -> None:
    root = make_tree(
        [
            "Model Output for Test Data/testEmotions500HighPass/sound/Angry/1157_kz_beste.wav",
            "High Pass/Angry/1157_kz_beste.wav",
            "Sound Source/Angry/1157_kz_beste.wav",
            "Sound Source/Calm/6783_sk_igde.wav",
            "Sound Source/Happy/1234_mt_yigilmak.wav",
            "Sound Source/Sad/1984_hl_acik.wav",
            "Sound Source/Sad/notes.wav",
            "Sound Source/Tired/1984_hl_acik.wav",
        ]
    )
    source = root / "Sound Source"
    assert turev.read(source if inside else root) == [
        Utterance(str(source / "Angry/1157_kz_beste.wav"), corpus="turev", speaker="1157", emotion="angry"),
        Utterance(str(source / "Calm/6783_sk_igde.wav"), corpus="turev", speaker="6783", emotion="calm"),
        Utterance(str(source / "Happy/1234_mt_yigilmak.wav"), corpus="turev", speaker="1234", emotion="happy"),
        Utterance(str(source / "Sad/1984_hl_acik.wav"), corpus="turev", speaker="1984", emotion="sad"),
    ]


def test_baved(make_tree: Tree) -> None:
    root = make_tree(
        [
            "0/100-f-6-0-0-0.wav",
            "1/14-M-23-1-1-110.wav",
            "6/55-m-16-6-2-778.wav",
            "6/55-m-16-7-2-779.wav",  # there is no word 7
            "6/55-m-16-6-3-780.wav",  # nor a level 3
        ]
    )
    assert baved.read(root) == [
        Utterance(
            str(root / "0/100-f-6-0-0-0.wav"), corpus="baved", speaker="100", gender="f", text="اعجبني", emotion="low"
        ),
        Utterance(
            str(root / "1/14-M-23-1-1-110.wav"),
            corpus="baved",
            speaker="14",
            gender="m",
            text="لم يعجبني",
            emotion="neutral",
        ),
        Utterance(
            str(root / "6/55-m-16-6-2-778.wav"), corpus="baved", speaker="55", gender="m", text="سيئ", emotion="high"
        ),
    ]

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import large_trees
import pytest
from release_trees import touch

from sercli.corpora import cremad, demos, emovo, esd, iemocap, meld, msp_improv, msp_podcast
from sercli.corpora.corpus import Corpus
from sercli.corpora.table import Utterance, read_table, write_table
from sercli.errors import CorpusError
from sercli.labels import normalise, relabel

CORPORA = [module.CORPUS for module in (iemocap, msp_podcast, msp_improv, cremad, meld, esd, demos, emovo)]


def by_name(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {Path(utterance.path).stem: utterance for utterance in utterances}


@pytest.mark.parametrize("wrapper", ["", "IEMOCAP_full_release"])
def test_iemocap(tmp_path: Path, wrapper: str) -> None:
    root = large_trees.iemocap(tmp_path / wrapper)
    assert iemocap.read(tmp_path) == [
        Utterance(
            str(root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"),
            corpus="iemocap",
            speaker="Ses01F",
            gender="f",
            session="1",
            text="Excuse me.",
            emotion="neutral",
            valence=2.5,
            arousal=3.5,
            dominance=1.5,
            votes='{"frustrated": 1, "neutral": 3}',  # a listener named two; the actor's own opinion is no vote
        ),
        Utterance(
            str(root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M013.wav"),
            corpus="iemocap",
            speaker="Ses01M",  # F of the dialogue wears the markers, M speaks
            gender="m",
            session="1",
            text="Café’s shut.",
            emotion="",  # xxx
            valence=2.0,
            arousal=2.5,
            dominance=2.5,
            votes='{"angry": 1, "excited": 1, "other": 1}',
        ),
        Utterance(
            str(root / "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_M021.flac"),
            corpus="iemocap",
            speaker="Ses05M",
            gender="m",
            session="5",
            emotion="excited",
            valence=4.0,
            arousal=4.0,
            dominance=3.0,
            votes='{"excited": 1}',
        ),
        Utterance(
            str(root / "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_F000.wav"),  # not there
            corpus="iemocap",
            speaker="Ses05F",
            gender="f",
            session="5",
            emotion="other",
            valence=3.0,
            arousal=3.0,
            dominance=3.0,
            votes='{"other": 2}',
        ),
    ]


def test_iemocap_four_classes_take_excited_for_happy(tmp_path: Path) -> None:
    four = relabel(iemocap.read(large_trees.iemocap(tmp_path)), "iemocap4")
    assert {Path(u.path).stem: u.emotion for u in four} == {
        "Ses01F_impro01_F000": "neutral",
        "Ses05M_script01_1b_M021": "happy",
    }


@pytest.mark.parametrize(
    "line",
    [
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000]",
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tjoy\t[2.5000, 2.5000, 2.5000]",
        "[6.2901 - 8.2357]\tSes01F_impro01_X000\tneu\t[2.5000, 2.5000, 2.5000]",
    ],
)
def test_iemocap_altered_label_file(tmp_path: Path, line: str) -> None:
    file = large_trees.iemocap(tmp_path) / "Session5/dialog/EmoEvaluation/Ses05M_script01_1b.txt"
    file.write_text(f"{large_trees.SCRIPTED}\n{line}\n")
    with pytest.raises(CorpusError, match=r"Ses05M_script01_1b\.txt, row 10: not as released; get it again from http"):
        iemocap.read(tmp_path)


@pytest.mark.parametrize(
    ("folder", "spelling"), [("Labels", "consensus"), ("labels", "concensus"), ("label", "concensus")]
)
def test_msp_podcast(tmp_path: Path, folder: str, spelling: str) -> None:
    root = large_trees.msp_podcast(tmp_path, folder, spelling)
    found = by_name(msp_podcast.read(root))
    assert found["MSP-PODCAST_0001_0008"] == Utterance(
        str(root / "Audios/MSP-PODCAST_0001_0008.wav"),
        corpus="msp-podcast",
        speaker="127",
        gender="f",
        session="Train",
        emotion="neutral",
        valence=4.2,
        arousal=2.4,
        dominance=3.6,
        votes='{"neutral": 2, "other": 1}',
    )
    # speaker of whom nobody knows who it is: one per podcast, so that no split can part them
    assert {name: (u.speaker, u.gender, u.session, u.emotion, u.votes) for name, u in found.items()} == {
        "MSP-PODCAST_0001_0008": ("127", "f", "Train", "neutral", '{"neutral": 2, "other": 1}'),
        "MSP-PODCAST_0001_0009": ("podcast-0001", "", "Train", "contempt", ""),
        "MSP-PODCAST_0001_0011": ("podcast-0001", "", "Train", "happy", ""),
        "MSP-PODCAST_0153_0174": ("88", "m", "Development", "", '{"angry": 1, "happy": 1}'),
        "MSP-PODCAST_1023_0235": ("9", "m", "Test1", "surprise", ""),
        "MSP-PODCAST_test3_0001": ("podcast-test3", "", "Test3", "", ""),
    }
    assert found["MSP-PODCAST_0001_0011"].path == str(root / "Audios/MSP-PODCAST_0001_0011.wav")  # not there
    assert math.isnan(found["MSP-PODCAST_test3_0001"].valence)


def test_msp_podcast_votes_of_release_2(tmp_path: Path) -> None:
    found = by_name(msp_podcast.read(large_trees.msp_podcast(tmp_path, detailed=large_trees.DETAILED_2)))
    assert json.loads(found["MSP-PODCAST_0001_0008"].votes) == {"neutral": 1, "contempt": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Split_Set\n", "Partition\n", r'column "Split_Set" is missing; get it again from http'),
        ("Female,N", "Female,Q", r"row 2: not as released \('Q'\)"),
        ("6.0,4.0,Test1", "high,4.0,Test1", r"row 6: not as released \(could not convert"),
        (",Test1", "", r"row 6: fewer cells than the header has"),
    ],
)
def test_msp_podcast_altered_table(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = large_trees.msp_podcast(tmp_path)
    (root / "Labels/labels_consensus.csv").write_text(large_trees.CONSENSUS.replace(old, new))
    with pytest.raises(CorpusError, match=rf"labels_consensus\.csv.* {message}"):
        msp_podcast.read(root)


@pytest.mark.parametrize("audio", ["Audio/", "", "All_human_data/Audio/"])
def test_msp_improv(tmp_path: Path, audio: str) -> None:
    root = large_trees.msp_improv(tmp_path, audio)
    natural, improvised, target = msp_improv.read(root)
    assert natural == Utterance(
        str(root / f"{audio}session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav"),
        corpus="msp-improv",
        speaker="F01",
        gender="f",
        session="1",
        emotion="neutral",
        arousal=2.2,  # 3.8 on a scale from excited to calm
        valence=3.2,
        dominance=2.8,
        votes='{"angry": 1, "neutral": 1, "other": 1}',  # a listener's line stands there twice
    )
    assert (improvised.speaker, improvised.session, improvised.emotion) == ("M03", "3", "")
    assert (improvised.arousal, improvised.valence) == (4.5, 4.6)
    assert math.isnan(improvised.dominance)
    assert improvised.votes == '{"happy": 1, "sad": 1}'
    assert (target.speaker, target.gender, target.emotion, target.votes) == ("F06", "f", "sad", "")
    assert target.path.endswith("session6/S20S/T/MSP-IMPROV-S20S-F06-T-FF01.wav")  # not there


@pytest.mark.parametrize(("old", "new"), [("; S; A", "; Q; A"), ("V:1.500000; ", ""), ("-F06-", "-F07-")])
def test_msp_improv_altered_label_file(tmp_path: Path, old: str, new: str) -> None:
    root = large_trees.msp_improv(tmp_path)
    (root / "Evalution.txt").write_text(large_trees.EVALUATION.replace(old, new))
    with pytest.raises(CorpusError, match=r"Evalution\.txt, row 11: not as released"):
        msp_improv.read(root)


def test_cremad(tmp_path: Path) -> None:
    root = large_trees.cremad(tmp_path)
    utterances = cremad.read(root)
    assert utterances[0] == Utterance(
        str(root / "AudioWAV/1001_IEO_NEU_XX.wav"),
        corpus="cremad",
        speaker="1001",
        gender="m",
        text="It's eleven o'clock",
        emotion="neutral",
        votes='{"happy": 1, "neutral": 10}',
    )
    assert {Path(u.path).name: (u.gender, u.emotion, u.votes) for u in utterances} == {
        "1001_IEO_NEU_XX.wav": ("m", "neutral", '{"happy": 1, "neutral": 10}'),
        "1040_ITH_SAD_X.wav": ("m", "sad", '{"fear": 1, "neutral": 4, "sad": 3}'),
        "1091_WSI_DIS_XX.wav": ("f", "disgust", ""),  # only those who saw the face voted on it here
        "1002_IEO_ANG_LO.mp3": ("f", "angry", ""),
    }


def test_cremad_women_and_men_per_published_set() -> None:
    genders = dict(zip(range(1001, 1092), cremad.GENDERS, strict=True))
    sets = ((1001, 1018), (1019, 1036), (1037, 1054), (1055, 1072), (1073, 1091))
    counted = [Counter(genders[actor] for actor in range(first, last + 1)) for first, last in sets]
    assert [(count["m"], count["f"]) for count in counted] == [(7, 11), (11, 7), (10, 8), (11, 7), (9, 10)]


def test_cremad_without_votes_and_with_altered_ones(tmp_path: Path) -> None:
    root = touch(tmp_path, ["AudioWAV/1001_DFA_ANG_XX.wav"])
    assert [u.votes for u in cremad.read(root)] == [""]
    large_trees.write(root / "processedResults/tabulatedVotes.csv", large_trees.VOTES.replace(",10,0,", ",ten,0,"))
    with pytest.raises(CorpusError, match=r"tabulatedVotes\.csv, row 2: not as released"):
        cremad.read(root)


@pytest.mark.parametrize("wrapper", ["", "MELD.Raw"])
def test_meld(tmp_path: Path, wrapper: str) -> None:
    root = large_trees.meld(tmp_path / wrapper)
    assert meld.read(tmp_path) == [
        Utterance(
            str(root / "train/train_splits/dia0_utt0.wav"),
            corpus="meld",
            speaker="Chandler",
            session="train",
            text="also I was the point person on my company’s transition",
            emotion="neutral",
        ),
        Utterance(
            str(root / "train/train_splits/dia0_utt3.flac"),
            corpus="meld",
            speaker="Ross",
            session="train",
            text='"Hey, Bob."',
            emotion="happy",
        ),
        Utterance(
            str(root / "dev_splits_complete/dia110_utt7.wav"),  # the release has no such clip
            corpus="meld",
            speaker="Rachel",
            session="dev",
            text="No!",
            emotion="angry",
        ),
        Utterance(
            str(root / "output_repeated_splits_test/dia0_utt0.wav"),  # the same name as in train
            corpus="meld",
            speaker="Ross",
            session="test",
            text="Oh.",
            emotion="surprise",
        ),
    ]


def test_meld_altered_table(tmp_path: Path) -> None:
    root = large_trees.meld(tmp_path)
    table = root / "test_sent_emo.csv"
    table.write_text(table.read_text().replace("surprise", "awe"))
    with pytest.raises(CorpusError, match=r'test_sent_emo\.csv, row 2: unknown emotion "awe"'):
        meld.read(root)
    table.write_text(large_trees.HEADER + '1,"' + "never closed " * 20_000)
    with pytest.raises(CorpusError, match=r"test_sent_emo\.csv, row \d+: "):
        meld.read(root)


@pytest.mark.parametrize("part", ["", "train/"])
@pytest.mark.parametrize("wrapper", ["", "Emotion Speech Dataset"])
def test_esd(tmp_path: Path, wrapper: str, part: str) -> None:
    root = large_trees.esd(tmp_path / wrapper, part)
    found = by_name(esd.read(tmp_path))
    assert found["0001_000351"] == Utterance(
        str(root / f"0001/Angry/{part}0001_000351.wav"),
        corpus="esd",
        speaker="0001",
        gender="f",
        text="打远一看，",
        emotion="angry",
    )
    assert {name: (u.gender, u.text, u.emotion) for name, u in found.items()} == {
        "0001_000001": ("f", "打远一看，", "neutral"),  # GB 2312
        "0001_000351": ("f", "打远一看，", "angry"),
        "0003_000701": ("f", "打远一看，", "happy"),  # UTF-16
        "0011_001051": ("m", "The nine, the eggs.", "sad"),  # UTF-8
        "0016_001401": ("f", "It’s a café.", "surprise"),  # Windows-1252
        "0016_001402": ("f", "", "surprise"),
    }


def test_esd_five_women_and_men_per_language() -> None:
    assert [
        sum(first <= speaker <= last for speaker in esd.WOMEN) for first, last in (("0001", "0010"), ("0011", "0020"))
    ] == [5, 5]


def test_demos(tmp_path: Path) -> None:
    names = ["NP_m_02_col01a", "PR_f_22_dis09b", "NP_f_61_gio02c", "PR_m_23_pau15b", "PR_m_19_rab18b"]
    root = touch(
        tmp_path,
        [
            *(f"DEMoS/DEMOS/{name}.wav" for name in (*names, "NP_f_45_sor04c", "NP_m_14_tri03b", "NP_x_14_tri03b")),
            "DEMoS/NEU/m_26_neu02b.wav",
        ],
    )
    assert {name: (u.speaker, u.gender, u.emotion) for name, u in by_name(demos.read(root)).items()} == {
        "NP_m_02_col01a": ("02", "m", "guilt"),
        "PR_f_22_dis09b": ("22", "f", "disgust"),
        "NP_f_61_gio02c": ("61", "f", "happy"),
        "PR_m_23_pau15b": ("23", "m", "fear"),
        "PR_m_19_rab18b": ("19", "m", "angry"),
        "NP_f_45_sor04c": ("45", "f", "surprise"),
        "NP_m_14_tri03b": ("14", "m", "sad"),
        "m_26_neu02b": ("26", "m", "neutral"),
    }


def test_emovo_whole_release(tmp_path: Path) -> None:
    sentences = ("b1", "b2", "b3", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5", "d1", "d2")
    actors = ("f1", "f2", "f3", "m1", "m2", "m3")
    codes = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
    root = touch(tmp_path, (f"{a}/{code}-{a}-{s}.wav" for a in actors for code in codes for s in sentences))
    utterances = emovo.read(touch(root, ["documents/poster.wav"]))
    assert len(utterances) == emovo.CORPUS.utterances == 588
    assert Counter((u.speaker, u.gender, u.emotion) for u in utterances) == {
        (actor, actor[0], label): 14 for actor in actors for label in emovo.CORPUS.labels
    }
    found = by_name(utterances)["gio-m2-l1"]
    assert (found.emotion, found.text[:13]) == ("happy", "L'autunno pro")
    assert len({u.text for u in utterances}) == 14


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.name)
def test_nothing_of_that_corpus(tmp_path: Path, corpus: Corpus) -> None:
    assert corpus.read(touch(tmp_path, ["wav/holiday.wav", "notes.txt"])) == []


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.name)
def test_labels_are_words_every_label_set_knows(corpus: Corpus) -> None:
    assert [normalise(label) for label in corpus.labels] == list(corpus.labels)
    assert corpus.how_to_get.startswith("http")


TREES: dict[Corpus, Callable[[Path], Path]] = {
    iemocap.CORPUS: large_trees.iemocap,
    msp_podcast.CORPUS: large_trees.msp_podcast,
    msp_improv.CORPUS: large_trees.msp_improv,
    cremad.CORPUS: large_trees.cremad,
    meld.CORPUS: large_trees.meld,
    esd.CORPUS: large_trees.esd,
}


@pytest.mark.parametrize("corpus", TREES, ids=lambda corpus: corpus.name)
def test_through_a_table_and_back(tmp_path: Path, corpus: Corpus) -> None:
    utterances = corpus.read(TREES[corpus](tmp_path / "release"))
    write_table(utterances, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv") == utterances
    assert {u.emotion for u in utterances} - {""} <= set(corpus.labels)
    if corpus.scale:
        lowest, highest = corpus.scale
        assert all(lowest <= u.arousal <= highest for u in utterances if not math.isnan(u.arousal))

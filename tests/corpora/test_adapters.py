import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from release_trees import WORDS, ravdess_names, touch

from sercli.corpora import CORPORA, read_corpus
from sercli.corpora.table import Utterance, write_table
from sercli.errors import CorpusError, UsageError

Tree = Callable[[Iterable[str]], Path]


def by_name(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {Path(utterance.path).stem: utterance for utterance in utterances}


def test_ravdess_whole_release(ravdess_tree: Path) -> None:
    utterances = read_corpus("ravdess", ravdess_tree)
    assert len(utterances) == CORPORA["ravdess"].utterances == 1440
    assert Counter(u.emotion for u in utterances) == {
        label: 96 if label == "neutral" else 192 for label in CORPORA["ravdess"].labels
    }
    assert {u.speaker for u in utterances} == {f"{actor:02d}" for actor in range(1, 25)}
    assert {u.speaker for u in utterances if u.gender == "f"} == {f"{actor:02d}" for actor in range(2, 25, 2)}
    assert [u.path for u in utterances] == sorted(u.path for u in utterances)
    last = by_name(utterances)["03-01-08-02-01-02-23"]
    assert (last.emotion, last.speaker, last.gender, last.text) == (
        "surprise",
        "23",
        "m",
        "Kids are talking by the door",
    )


def test_ravdess_leaves_out_song_video_second_copies_and_mac_files(make_tree: Tree) -> None:
    root = make_tree(
        [
            "Actor_01/03-01-06-01-02-01-01.flac",
            "Actor_01/._03-01-06-01-02-01-01.wav",
            "Actor_01/03-02-06-01-02-01-01.wav",  # song
            "Actor_01/01-01-06-01-02-01-01.mp4",  # video with sound
            "Actor_01/02-01-06-01-02-01-01.wav",
            "Actor_01/notes.txt",
            "audio_speech_actors_01-24/Actor_01/03-01-06-01-02-01-01.flac",
        ]
    )
    assert read_corpus("ravdess", root) == [
        Utterance(
            str(root / "Actor_01/03-01-06-01-02-01-01.flac"),
            corpus="ravdess",
            speaker="01",
            gender="m",
            text="Dogs are sitting by the door",
            emotion="fear",
        )
    ]


@pytest.mark.parametrize("ending", [".wav", ".flac", ".opus", ".mp3", ".WAV"])
@pytest.mark.parametrize("parent", ["", "wav/"])
def test_emodb(make_tree: Tree, ending: str, parent: str) -> None:
    names = ["03a01Wa", "08a02Lc", "09b01Eb", "10a05Aa", "13b10Fd", "16a07Tb", "15b09Na"]
    root = make_tree([f"{parent}{name}{ending}" for name in names])
    found = by_name(read_corpus("emodb", root))
    assert {name: (u.speaker, u.gender, u.emotion) for name, u in found.items()} == {
        "03a01Wa": ("03", "m", "angry"),
        "08a02Lc": ("08", "f", "boredom"),
        "09b01Eb": ("09", "f", "disgust"),
        "10a05Aa": ("10", "m", "fear"),
        "13b10Fd": ("13", "f", "happy"),
        "16a07Tb": ("16", "f", "sad"),
        "15b09Na": ("15", "m", "neutral"),
    }
    assert found["03a01Wa"].text == "Der Lappen liegt auf dem Eisschrank."


NEMO = (
    "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
    'WR0_surprised_64.wav\tsurprised\tUcho "wykrywa".\tucho wykrywa\t        WR0\tmale\t23\n'
    "EB0_anger_1.wav\tanger\tLubię.\tlubię\t        EB0\tfemale\t27\n"
)


def test_nemo_with_a_file_missing(make_tree: Tree) -> None:
    root = make_tree(["samples/WR0_surprised_64.opus"])
    (root / "data.tsv").write_text(NEMO, encoding="utf-8")
    assert read_corpus("nemo", root) == [
        Utterance(
            str(root / "samples/EB0_anger_1.wav"),
            corpus="nemo",
            speaker="EB0",
            gender="f",
            text="Lubię.",
            emotion="angry",
        ),
        Utterance(
            str(root / "samples/WR0_surprised_64.opus"),
            corpus="nemo",
            speaker="WR0",
            gender="m",
            text='Ucho "wykrywa".',
            emotion="surprise",
        ),
    ]


@pytest.mark.parametrize("table", ["file_id\temotion\nA.wav\tanger\n", NEMO.replace("anger\tL", "rage\tL")])
def test_nemo_altered_table(make_tree: Tree, table: str) -> None:
    root = make_tree(["samples/WR0_surprised_64.wav"])
    (root / "data.tsv").write_text(table, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"data\.tsv, row \d: not as released"):
        read_corpus("nemo", root)


@pytest.mark.parametrize("folders", [False, True])
def test_tess_flat_and_in_class_folders(make_tree: Tree, folders: bool) -> None:
    names = []
    for actress in ("OAF", "YAF"):
        for word in WORDS:
            for code in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad"):
                prefix = "OA" if (actress, word, code) == ("OAF", "bite", "neutral") else actress
                names.append(f"{actress}_{code}/" * folders + f"{prefix}_{word}_{code}.wav")
    utterances = read_corpus("tess", make_tree(names))
    assert Counter((u.speaker, u.emotion) for u in utterances) == {
        (actress, label): 3 for actress in ("OAF", "YAF") for label in CORPORA["tess"].labels
    }
    assert {u.gender for u in utterances} == {"f"}
    assert {u.text for u in utterances} == {f"Say the word {word}" for word in WORDS}


def test_aesdd_with_its_odd_names(make_tree: Tree) -> None:
    root = make_tree(
        [
            "anger/a06 (5)b.wav",
            "disgust/d03 (01).wav",
            "fear/f10 (1).wav",
            "happiness/h20 (6).wav",
            "sadness/s01 (5)a.wav",
            "sadness/extra.wav",
        ]
    )
    found = by_name(read_corpus("aesdd", root))
    assert {name: (u.speaker, u.gender, u.emotion) for name, u in found.items()} == {
        "a06 (5)b": ("5", "", "angry"),
        "d03 (01)": ("1", "", "disgust"),
        "f10 (1)": ("1", "", "fear"),
        "h20 (6)": ("6", "", "happy"),
        "s01 (5)a": ("5", "", "sad"),
    }


def test_folder_per_class(make_tree: Tree) -> None:
    files = ["Happiness/a.wav", "Happiness/anna/b.wav", "Happiness/anna/er/c.flac", "awe/d.opus", "awe/readme.txt"]
    root = make_tree([*files, ".git/e.wav"])
    assert [(u.emotion, u.corpus, u.speaker) for u in read_corpus("folder", root)] == [
        ("happy", "corpus", ""),
        ("happy", "corpus", "anna"),
        ("happy", "corpus", "anna"),
        ("awe", "corpus", ""),
    ]


def test_folder_refuses_loose_audio_and_nothing(make_tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="lies outside a class folder"):
        read_corpus("folder", make_tree(["happy/a.wav", "loose.wav"]))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CorpusError, match="no audio in class folders"):
        read_corpus("folder", empty)


def test_table_by_path(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    utterances = [Utterance("/b.wav"), Utterance("/a.wav", start=2.0, end=3.0), Utterance("/a.wav", end=1.0)]
    write_table(utterances, table)
    assert [(u.path, u.start) for u in read_corpus(str(table))] == [("/a.wav", 0.0), ("/a.wav", 2.0), ("/b.wav", 0.0)]


@pytest.mark.parametrize("name", list(CORPORA))
def test_wrong_folder_says_what_was_expected(make_tree: Tree, name: str) -> None:
    root = make_tree(["wav/holiday.wav"])
    with pytest.raises(CorpusError, match=f"does not look like {name}; expected files such as") as caught:
        read_corpus(name, root)
    assert CORPORA[name].layout in str(caught.value)
    with pytest.raises(CorpusError, match=r"no such folder to read .* from; get it from http"):
        read_corpus(name, root / "nowhere")


def test_unknown_name_and_missing_root() -> None:
    with pytest.raises(UsageError, match=r'unknown corpus "ravdes" \(did you mean "ravdess"\?\)'):
        read_corpus("ravdes", ".")
    with pytest.raises(UsageError, match="Name its folder with --root DIR"):
        read_corpus("ravdess")


def test_a_relative_root_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, ravdess_names()[:1])
    monkeypatch.chdir(tmp_path)
    assert Path(read_corpus("ravdess", ".")[0].path).is_absolute()


def test_reading_corpora_imports_nothing_heavy() -> None:
    code = (
        "import sys, sercli.corpora, sercli.corpora.splits as s; s.protocol('emodb-loso');"
        "print([m for m in ('numpy', 'soundfile', 'torch', 'pandas', 'yaml', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["ravdess", "emodb", "nemo", "tess", "aesdd"])
def test_real_corpus_equals_its_manifest(data_root: Path, name: str) -> None:
    corpus = CORPORA[name]
    utterances = read_corpus(name, data_root / name)
    with (data_root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == name]
    bored = {"bored": "boredom"}  # the manifest's word
    assert {(u.path, u.speaker, u.gender, u.emotion) for u in utterances} == {
        (
            str((data_root / row["path"]).absolute()),
            row["speaker"],
            row["gender"],
            bored.get(row["label"], row["label"]),
        )
        for row in rows
    }
    texts = {str((data_root / row["path"]).absolute()): row["text"] for row in rows if row["text"]}
    assert {u.path: u.text for u in utterances if u.path in texts} == texts
    assert len(utterances) == len(rows) == corpus.utterances
    assert len({u.speaker for u in utterances}) == corpus.speakers
    assert {u.emotion for u in utterances} == set(corpus.labels)
    assert sum(float(row["seconds"]) for row in rows) / 3600 == pytest.approx(corpus.hours, abs=0.006)

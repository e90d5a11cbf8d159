"""Tables of audformat (nkululeko) and EmoBox, in the shapes these tools publish them in."""

import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sercli.corpora.audformat import parse_time, write_time
from sercli.corpora.splits import Fold, split
from sercli.corpora.table import Shape, Utterance, dump_table, read_table, write_table
from sercli.errors import CorpusError, UsageError

TEXT = st.text("abcé ,\"'\n", max_size=8)  # letters that spell none of pandas's missing values
WORD = st.text("abcé _-", max_size=8)
NUMBER = st.just(math.nan) | st.floats(allow_nan=False, allow_infinity=False)
NANOSECONDS = st.integers(0, 10**13)
"""Up to nearly three hours."""
UTTERANCES = st.builds(
    Utterance,
    path=st.text("abcé ,\"'", min_size=1, max_size=8).map(lambda name: f"/data/{name}.wav"),
    start=NANOSECONDS.map(lambda count: count / 1e9),
    end=st.just(math.nan) | NANOSECONDS.map(lambda count: (count + 10**13 + 1) / 1e9),
    corpus=WORD,
    speaker=TEXT,
    gender=st.sampled_from(["", "f", "m"]),
    session=TEXT,
    text=TEXT,
    emotion=WORD,
    arousal=NUMBER,
    valence=NUMBER,
    dominance=NUMBER,
)


def dumped(utterances: list[Utterance], shape: Shape) -> str:
    file = io.StringIO()
    dump_table(utterances, file, shape=shape)
    return file.getvalue()


def emobox_line(**changes: object) -> str:
    """One line as EmoBox releases them."""
    entry = {
        "key": "ravdess-03-01-05-01-01-01-21",
        "dataset": "ravdess",
        "wav": "downloads/ravdess/Actor_21/03-01-05-01-01-01-21.wav",
        "type": "raw",
        "sample_rate": 48000,
        "num_frame": 198599.00000000003,
        "task": "category",
        "length": 4.137479166666667,
        "emo": "Angry",
        "channel": 1,
    }
    return json.dumps(entry | changes) + "\n"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(utterances=st.lists(UTTERANCES, max_size=4))
def test_audformat_keeps_all_but_weight_and_votes(tmp_path: Path, utterances: list[Utterance]) -> None:
    table = tmp_path / "t.csv"
    write_table(utterances, table, "audformat")
    assert read_table(table) == utterances


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(utterances=st.lists(UTTERANCES.filter(lambda u: u.start == 0 or not math.isnan(u.end)), max_size=4))
def test_emobox_keeps_what_it_has_keys_for(tmp_path: Path, utterances: list[Utterance]) -> None:
    table = tmp_path / "t.jsonl"
    write_table(utterances, table, "emobox")
    kept = [Utterance(u.path, u.start, u.end, u.corpus, u.speaker, text=u.text, emotion=u.emotion) for u in utterances]
    assert read_table(table) == kept


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("0 days 00:00:01.500000", 1.5),
        ("0 days 00:00:03.797899315", 3.797899315),
        ("0 days 00:01:11.571000", 71.571),
        ("0 days", 0.0),
        ("1 days 02:00:01", 93601.0),
        ("1 day, 2:00:01", 93601.0),
        ("0:00:01.5", 1.5),
        ("00:00:01", 1.0),
        ("1.5s", 1.5),
        ("20 ms", 0.02),
        ("2min", 120.0),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        ("-1", -1.0),
        ("NaT", None),
        ("", None),
        (" ", None),
    ],
)
def test_times_in_the_wild(cell: str, seconds: float | None) -> None:
    assert parse_time(cell, "t.csv, row 2", "start") == seconds


def test_times_are_written_as_pandas_writes_them() -> None:
    assert write_time(0.0) == "0 days 00:00:00.000000"
    assert write_time(1.5) == "0 days 00:00:01.500000"
    assert write_time(3.797899315) == "0 days 00:00:03.797899315"
    assert write_time(93601.25) == "1 days 02:00:01.250000"
    assert write_time(59.9999999999) == "0 days 00:01:00.000000"
    assert write_time(math.nan) == "NaT"


@settings(deadline=None)  # the first example imports pandas
@given(count=NANOSECONDS)
def test_pandas_reads_the_times_written(count: int) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert pandas.to_timedelta(write_time(count / 1e9)).value == count
    assert parse_time(str(pandas.Timedelta(count)), "t.csv, row 2", "start") == count / 1e9


def test_segmented_audformat_table(tmp_path: Path) -> None:
    table = tmp_path / "db.emotion.csv"
    table.write_text(
        "file,start,end,speaker,gender,age,task,emotion,valence,text\n"
        'audio/001.wav,0 days,0 days 00:00:02.810000,C_01,female,56,interview,Happy,4.2,"si, certo"\n'
        "audio/001.wav,0 days 00:00:02.810000,NaT,C_02,child,7,interview,,,\n"
    )
    audio = str(tmp_path / "audio" / "001.wav")
    assert read_table(table) == [
        Utterance(audio, 0, 2.81, speaker="C_01", gender="f", emotion="Happy", valence=4.2, text="si, certo"),
        Utterance(audio, 2.81, speaker="C_02"),
    ]


def test_filewise_table_of_nkululeko(tmp_path: Path) -> None:
    table = tmp_path / "podcast.csv"
    table.write_text("file,emotion,valence,arousal,dominance\n./Audios/MSP_0002.wav,neu,4.2,4.8,5.4\n")
    audio = str(tmp_path / "Audios" / "MSP_0002.wav")
    assert read_table(table) == [Utterance(audio, emotion="neu", valence=4.2, arousal=4.8, dominance=5.4)]


def test_columns_that_mean_something_else_elsewhere_are_ignored(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(",file,weight,votes,split,speaker,gender\n0,/a.wav,-82.5,many,train,nan,NaN\n")
    assert read_table(table) == [Utterance("/a.wav")]


def test_transcription_is_preferred_to_text(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,text,transcription\n/a.wav,about this,this\n/b.wav,about that,\n")
    assert [u.text for u in read_table(table)] == ["this", "about that"]


def test_audformat_table_holds_only_columns_with_values() -> None:
    assert dumped([Utterance("/a.wav"), Utterance("/b.wav", 1.5, 2, gender="m", arousal=0.0)], "audformat") == (
        "file,start,end,gender,arousal\n"
        "/a.wav,0 days 00:00:00.000000,NaT,,\n"
        "/b.wav,0 days 00:00:01.500000,0 days 00:00:02.000000,male,0\n"
    )
    assert dumped([], "audformat") == "file,start,end\n"


def test_emobox_table_as_released(tmp_path: Path) -> None:
    fold = tmp_path / "data" / "ravdess" / "fold_1"
    fold.mkdir(parents=True)
    (tmp_path / "downloads").mkdir()
    table = fold / "ravdess_test_fold_1.jsonl"
    table.write_text(
        emobox_line() + "\n" + emobox_line(dataset="pavoque", emo="poker", start_time=1917.34, end_time=1925.26)
    )
    audio = str(tmp_path / "downloads" / "ravdess" / "Actor_21" / "03-01-05-01-01-01-21.wav")
    read = read_table(table)
    assert read == [
        Utterance(audio, corpus="ravdess", emotion="Angry"),
        Utterance(audio, 1917.34, 1925.26, corpus="pavoque", emotion="poker"),
    ]
    with pytest.raises(CorpusError, match="speaker unknown, cannot be split"):
        split(read[:1], Fold("1", (), ()))


def test_emobox_audio_is_beside_the_table_where_there_are_no_downloads(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text(emobox_line(wav="a.wav", speaker=7, text="kids", start_time=None))
    assert read_table(table) == [
        Utterance(str(tmp_path / "a.wav"), corpus="ravdess", speaker="7", text="kids", emotion="Angry")
    ]


def test_emobox_entries_have_its_keys_and_the_length_where_known() -> None:
    utterances = [
        Utterance("/data/x.wav", corpus="mine", emotion="sad"),
        Utterance("/data/more/x.wav", 1.5, 4.7, corpus="mine", emotion="happy", speaker="s1"),
        Utterance("/data/x-2.wav"),
    ]
    common = {"type": "raw", "task": "category", "channel": 1}
    assert [json.loads(line) for line in dumped(utterances, "emobox").splitlines()] == [
        {"key": "mine-x", "dataset": "mine", "wav": "/data/x.wav", "emo": "sad"} | common,
        {"key": "mine-x-2", "dataset": "mine", "wav": "/data/more/x.wav", "emo": "happy"}
        | common
        | {"length": 3.2, "start_time": 1.5, "end_time": 4.7, "speaker": "s1"},
        {"key": "x-2", "dataset": "", "wav": "/data/x-2.wav", "emo": ""} | common,
    ]


def test_emobox_keys_are_unique() -> None:
    names = ["a-2", "a", "a", "a", "a-2"]
    keys = [json.loads(line)["key"] for line in dumped([Utterance(f"/{n}.wav") for n in names], "emobox").splitlines()]
    assert len(set(keys)) == len(names)


def test_emobox_cannot_say_a_start_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"/long\.wav: starts at 3 s, end unknown"):
        write_table([Utterance("/long.wav", 3.0)], tmp_path / "t.jsonl", "emobox")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "file,emotion\n,sad\n", r't\.csv, row 2: column "file" is empty'),
        ("t.csv", "file,start\n/a.wav,0\n/b.wav,soon\n", r't\.csv, row 3: column "start" is "soon", not a time'),
        ("t.csv", "file,end\n/a.wav,-1 days +23:59:58\n", r't\.csv, row 2: column "end" is .*not a time'),
        ("t.csv", "file,end\n/a.wav,inf\n", r't\.csv, row 2: column "end" is "inf", not a time'),
        ("t.csv", "file,start,end\n/a.wav,2s,1s\n", r'row 2: column "end" \(1\) is not after "start" \(2\)'),
        ("t.csv", "file,valence\n/a.wav,high\n", r'row 2: column "valence" is "high", not a number'),
        ("t.csv", "file,gender\n/a.wav,x\n", r'row 2: column "gender" is "x"'),
        ("t.csv", "file,text\n/a.wav,a,b\n", r"row 2: more cells than the header has"),
        ("t.csv", "file,path,emotoin\n/a.wav,/a.wav,sad\n", r'unknown column "file"'),
        ("t.jsonl", emobox_line(start_time="x"), r't\.jsonl, row 1: column "start_time" is "x", not a number'),
        ("t.jsonl", emobox_line(start_time=2, end_time=1), r'column "end_time" \(1\) is not after "start_time" \(2\)'),
        ("t.jsonl", emobox_line() + '{"key": "b"}\n', r't\.jsonl, row 2: column "wav" is empty'),
        ("t.jsonl", emobox_line(type="feature"), r'row 1: column "type" is "feature"; only "raw" can be read'),
        ("t.jsonl", emobox_line(task="arousal"), r'row 1: column "task" is "arousal"; only "category"'),
        ("t.jsonl", '{"key": "b"}\n', r'row 1: column "path" is missing'),
        ("t.jsonl", '{"path": "/a.wav"}\n' + emobox_line(), r'row 2: column "path" is missing'),
    ],
)
def test_malformed_foreign_tables_name_file_row_and_column(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    table = tmp_path / name
    table.write_text(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_table(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shape", "name"), [("audformat", "t.jsonl"), ("emobox", "t.csv"), ("audformat", "t.xlsx")])
def test_a_shape_has_its_ending(tmp_path: Path, shape: Shape, name: str) -> None:
    with pytest.raises(UsageError, match="change the file's ending"):
        write_table([], tmp_path / name, shape)
    assert list(tmp_path.iterdir()) == []


def test_audio_below_the_table_is_written_relative(tmp_path: Path) -> None:
    utterances = [Utterance(str(tmp_path / "wav" / "a.wav"), emotion="sad")]
    write_table(utterances, tmp_path / "a.csv", "audformat")
    write_table(utterances, tmp_path / "e.jsonl", "emobox")
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("wav/a.wav,")
    assert json.loads((tmp_path / "e.jsonl").read_text())["wav"] == "wav/a.wav"

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sercli.corpora.table import COLUMNS, Utterance, read_table, write_table
from sercli.errors import CorpusError, OutputError, UsageError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBER = st.just(math.nan) | st.floats(allow_nan=False, allow_infinity=False)
UTTERANCES = st.builds(
    Utterance,
    path=st.text("abcé ,\"'", min_size=1, max_size=8).map(lambda name: f"/data/{name}.wav"),
    start=st.floats(0, 10),
    end=st.just(math.nan) | st.floats(11, 20),
    corpus=TEXT,
    speaker=TEXT,
    gender=st.sampled_from(["", "f", "m"]),
    session=TEXT,
    text=TEXT,
    emotion=TEXT,
    arousal=NUMBER,
    valence=NUMBER,
    dominance=NUMBER,
    weight=st.floats(0, 10),
    votes=st.sampled_from(["", '{"happy": 3, "sad": 1}']),
)


def test_columns_are_those_of_the_design() -> None:
    expected = "path start end corpus speaker gender session text emotion arousal valence dominance weight votes"
    assert " ".join(COLUMNS) == expected


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(utterances=st.lists(UTTERANCES, max_size=4))
def test_what_is_written_is_read(tmp_path: Path, ending: str, utterances: list[Utterance]) -> None:
    table = tmp_path / f"table{ending}"
    write_table(utterances, table)
    assert read_table(table) == utterances
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_audio_below_the_table_is_written_relative(tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"table{ending}"
    write_table([Utterance(str(tmp_path / "wav" / "a.wav")), Utterance("/elsewhere/b.wav")], table)
    assert '"wav/a.wav"' in table.read_text() or "\nwav/a.wav," in table.read_text()
    moved = tmp_path / "moved"
    moved.mkdir()
    table.rename(moved / table.name)
    assert [u.path for u in read_table(moved / table.name)] == [str(moved / "wav" / "a.wav"), "/elsewhere/b.wav"]


def test_only_path_is_required(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path\na.wav\n")
    assert read_table(table) == [Utterance(str(tmp_path / "a.wav"))]


def test_spreadsheet_mark_urls_and_genders(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("\ufeffpath,gender\ns3://bucket/a.wav,Female\n", encoding="utf-8")
    assert read_table(table) == [Utterance("s3://bucket/a.wav", gender="f")]


def test_jsonl_takes_votes_as_an_object_and_null_as_unknown(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"path": "/a.wav", "end": null, "speaker": 7, "votes": {"sad": 2}}\n\n')
    assert read_table(table) == [Utterance("/a.wav", speaker="7", votes='{"sad": 2}')]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r't\.csv: column "path" is missing'),
        ("t.csv", "wav\na.wav\n", r't\.csv: column "path" is missing'),
        ("t.csv", "path,emotoin\na.wav,sad\n", r't\.csv: unknown column "emotoin" \(did you mean "emotion"\?\)'),
        ("t.csv", "path,start\na.wav,0\nb.wav,x\n", r't\.csv, row 3: column "start" is "x", not a number'),
        ("t.csv", "path,start\na.wav,-1\n", r't\.csv, row 2: column "start" is -1'),
        ("t.csv", "path,start,end\na.wav,2,1\n", r't\.csv, row 2: column "end" \(1\) is not after "start" \(2\)'),
        ("t.csv", "path,weight\na.wav,-2\n", r'row 2: column "weight" is -2'),
        ("t.csv", "path,arousal\na.wav,inf\n", r'row 2: column "arousal" is infinite'),
        ("t.csv", "path,gender\na.wav,x\n", r'row 2: column "gender" is "x"'),
        ("t.csv", "path,votes\na.wav,many\n", r'row 2: column "votes" is not a JSON object'),
        ("t.csv", "path,text\na.wav,one,two\n", r"row 2: more cells than the header has"),
        ("t.csv", "path,text\na.wav\n", r"row 2: fewer cells than the header has"),
        ("t.csv", "path,text\n,hello\n", r'row 2: column "path" is empty'),
        ("t.jsonl", "path\n", r"t\.jsonl, row 1: not JSON"),
        ("t.jsonl", "[1]\n", r"t\.jsonl, row 1: not a JSON object"),
        ("t.jsonl", '{"path": "a.wav", "starts": 1}\n', r'row 1: unknown column "starts" \(did you mean "start"\?\)'),
        ("t.jsonl", '{"path": "a.wav", "start": [1]}\n', r'row 1: column "start" is \[1\], not a number'),
    ],
)
def test_malformed_tables_name_file_row_and_column(tmp_path: Path, name: str, content: str, message: str) -> None:
    table = tmp_path / name
    table.write_text(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_table(table)
    assert "\n" not in str(caught.value)


def test_missing_binary_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"path\n\xe4.wav\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_table(tmp_path / "latin.csv")
    with pytest.raises(UsageError, match=r"a table is a \.csv or \.jsonl file"):
        read_table(tmp_path / "table.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(CorpusError, match="cannot be read"):
        read_table(tmp_path / "folder.csv")


def test_failed_write_keeps_the_old_table(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("old")

    def broken() -> "list[Utterance]":
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table((u for _ in [0] for u in broken()), table)
    assert table.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
    with pytest.raises(OutputError, match="cannot be written"):
        write_table([], tmp_path / "no" / "such" / "folder.csv")

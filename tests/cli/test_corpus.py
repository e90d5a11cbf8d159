import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.cli.main import run
from sercli.corpora import CORPORA


def sercli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["corpus", *map(str, arguments)])
    streams = capsys.readouterr()
    return int(code), streams.out, streams.err


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    root = tmp_path / "emodb"
    (root / "wav").mkdir(parents=True)
    for seed, name in enumerate(("03a01Fa", "08a02Lc", "16a07Tb")):
        signal = np.random.default_rng(seed).uniform(-0.1, 0.1, 800).astype(np.float32)
        soundfile.write(root / "wav" / f"{name}.wav", signal, 16_000)
    return root


def test_list_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = sercli(capsys, "list")
    lines = out.splitlines()
    assert code == 0
    assert " ".join(lines[0].split()) == "NAME LANGUAGE UTTERANCES SPEAKERS HOURS LABELS LICENCE HOW TO GET IT"
    assert [line.split()[0] for line in lines[1:]] == list(CORPORA)
    assert lines[1].split()[1:5] == ["English", "1440", "24", "1.48"]
    assert err.startswith("Your own data: `folder`")


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = sercli(capsys, "list", "--format", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert list(rows) == list(CORPORA)
    assert rows["tess"]["licence"] == "CC BY-NC-ND 4.0"
    assert all(row["how_to_get"].startswith("http") for row in rows.values())


def test_table_to_stdout(capsys: pytest.CaptureFixture[str], emodb: Path) -> None:
    code, out, err = sercli(capsys, "table", "emodb", "--root", emodb)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(Path(row["path"]).name, row["speaker"], row["gender"], row["emotion"], row["end"]) for row in rows] == [
        ("03a01Fa.wav", "03", "m", "happy", ""),
        ("08a02Lc.wav", "08", "f", "boredom", ""),
        ("16a07Tb.wav", "16", "f", "sad", ""),
    ]
    assert err == "3 utterances\n"


def test_table_in_seven_labels_as_jsonl(capsys: pytest.CaptureFixture[str], emodb: Path) -> None:
    code, out, err = sercli(capsys, "table", "emodb", "--root", emodb, "--labels", "seven", "--format", "jsonl")
    assert code == 0
    assert [json.loads(line)["emotion"] for line in out.splitlines()] == ["happy", "sad"]
    assert err == "2 utterances, 1 left out that have no place in label set seven\n"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_table_to_file_and_back(capsys: pytest.CaptureFixture[str], emodb: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"table.{ending}"
    code, out, err = sercli(capsys, "table", "emodb", "--root", emodb, "--output", file)
    assert (code, out, err) == (0, "", f"3 utterances, written to {file}\n")
    code, out, err = sercli(capsys, "check", file)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{file}: 3 utterances, 3 speakers, 0.00 hours",
        "labels: boredom 1, happy 1, sad 1",
        "clean",
    ]


def test_table_for_other_tools_on_stdout(capsys: pytest.CaptureFixture[str], emodb: Path) -> None:
    code, out, _ = sercli(capsys, "table", "emodb", "--root", emodb, "--format", "audformat")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert list(rows[0])[:3] == ["file", "start", "end"]
    assert (rows[0]["file"], rows[0]["gender"], rows[0]["end"]) == (str(emodb / "wav" / "03a01Fa.wav"), "male", "NaT")
    code, out, _ = sercli(capsys, "table", "emodb", "--root", emodb, "--format", "emobox")
    assert code == 0
    assert [(entry["key"], entry["emo"]) for entry in map(json.loads, out.splitlines())] == [
        ("emodb-03a01Fa", "happy"),
        ("emodb-08a02Lc", "boredom"),
        ("emodb-16a07Tb", "sad"),
    ]


def test_table_moves_between_tools(capsys: pytest.CaptureFixture[str], emodb: Path, tmp_path: Path) -> None:
    audformat, emobox, ours = tmp_path / "a.csv", tmp_path / "e.jsonl", tmp_path / "o.csv"
    assert sercli(capsys, "table", "emodb", "--root", emodb, "--format", "audformat", "--output", audformat)[0] == 0
    assert sercli(capsys, "table", audformat, "--format", "emobox", "--output", emobox)[0] == 0
    assert sercli(capsys, "table", emobox, "--output", ours)[0] == 0
    assert audformat.read_text().startswith("file,start,end,")
    assert json.loads(emobox.read_text().splitlines()[0])["wav"] == "emodb/wav/03a01Fa.wav"
    rows = list(csv.DictReader(ours.read_text().splitlines()))
    assert [(row["path"], row["corpus"], row["speaker"], row["emotion"]) for row in rows] == [
        ("emodb/wav/03a01Fa.wav", "emodb", "03", "happy"),
        ("emodb/wav/08a02Lc.wav", "emodb", "08", "boredom"),
        ("emodb/wav/16a07Tb.wav", "emodb", "16", "sad"),
    ]


def test_format_that_the_ending_contradicts(capsys: pytest.CaptureFixture[str], emodb: Path, tmp_path: Path) -> None:
    for form, name, ending in [
        ("audformat", "t.jsonl", "csv"),
        ("emobox", "t.csv", "jsonl"),
        ("csv", "t.jsonl", "csv"),
    ]:
        file = tmp_path / name
        code, out, err = sercli(capsys, "table", "emodb", "--root", emodb, "--format", form, "--output", file)
        assert (code, out, file.exists()) == (2, "", False)
        assert err == f"sercli: error: {file}: --format {form} writes a .{ending} file; change one of the two\n"


def test_check_with_warnings_only(capsys: pytest.CaptureFixture[str], emodb: Path) -> None:
    code, out, _ = sercli(capsys, "check", "emodb", "--root", emodb)
    assert code == 0
    assert out.splitlines()[2:] == [
        "warning: incomplete: 3 utterances here, 535 in the release",
        "errors: 0, warnings: 1",
    ]


def test_check_with_errors(capsys: pytest.CaptureFixture[str], emodb: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    missing = [f"missing{number}.wav" for number in range(5)]
    table.write_text("path,speaker,emotion\n" + "".join(f"{name},a,happy\n" for name in missing))
    code, out, err = sercli(capsys, "check", table)
    assert (code, err) == (1, "")
    assert out.splitlines()[2:] == [
        "error: missing: 5 listed, but not there",
        *(f"    {tmp_path / name}" for name in missing[:3]),
        "    and 2 more (--format json lists them)",
        "errors: 1, warnings: 0",
    ]
    code, out, _ = sercli(capsys, "check", table, "--format", "json")
    report = json.loads(out)
    assert code == 1
    assert report["errors"] == 1
    assert report["findings"][0]["paths"] == [str(tmp_path / name) for name in missing]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["table", "emodbb"], 2, 'sercli: error: unknown corpus "emodbb" (did you mean "emodb"?)'),
        (["table", "emodb"], 2, "sercli: error: where is emodb? Name its folder with --root DIR"),
        (["table", "emodb", "--root", "/no/where"], 1, "sercli: error: /no/where: no such folder to read emodb from"),
        (["table", "none.csv"], 1, "sercli: error: none.csv: no such table"),
        (["check", "none.csv", "--format", "xml"], 2, "Usage: sercli corpus check [OPTIONS] NAME"),
    ],
)
def test_errors_are_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    got, out, err = sercli(capsys, *arguments)
    assert (got, out) == (code, "")
    assert err.startswith(message)


def test_bad_label_set(capsys: pytest.CaptureFixture[str], emodb: Path) -> None:
    code, out, err = sercli(capsys, "table", "emodb", "--root", emodb, "--labels", "eight")
    assert (code, out) == (2, "")
    assert err.startswith('sercli: error: unknown label set "eight"')


def test_emobox_gets_the_length_of_every_file_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "happy").mkdir()
    soundfile.write(tmp_path / "happy" / "a.wav", np.zeros(12_000, np.float32), 8_000)
    (tmp_path / "happy" / "broken.wav").touch()
    code, out, _ = sercli(capsys, "table", "folder", "--root", tmp_path, "--format", "emobox")
    assert code == 0
    assert [json.loads(line).get("length") for line in out.splitlines()] == [1.5, None]

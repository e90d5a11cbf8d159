"""`sercli predict`: rows, streams, exit codes, interruption and resuming, in the process and as a process."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from sercli.audio import PCM_TYPES
from sercli.cli.main import run
from sercli.cli.predict import PCM_CHOICES, predict
from tests.tiny import LABELS, RATE, make_bundle, tone

COMMAND = [sys.executable, "-m", "sercli", "predict"]


class Result:
    """What one run left: exit code, stdout and stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Sercli = Callable[..., Result]


@pytest.fixture
def sercli(tiny_bundle: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sercli:
    """Run `sercli predict` with the tiny student in this process."""

    def call(*arguments: object, model: object = tiny_bundle) -> Result:
        code = run(["predict", "--model", str(model), *map(str, arguments)])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def test_ratings_on_any_scale_and_resumed(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    rates = make_bundle(tmp_path / "rates", rates=True)
    (row,) = sercli(tones / "a.wav", model=rates).rows
    (wide,) = sercli(tones / "a.wav", "--scale", 1, 5, model=rates).rows
    assert list(row)[5:9] == ["scores", "arousal", "valence", "dominance"]
    assert wide["valence"] == pytest.approx(1.0 + 4.0 * row["valence"], abs=1e-5)
    for form in ("csv", "jsonl"):
        kept = tmp_path / f"kept.{form}"
        assert sercli(tones, "-o", kept, model=rates).code in (0, 3)
        whole = kept.read_text()
        kept.write_text("".join(whole.splitlines(keepends=True)[:2]))
        assert sercli(tones, "-o", kept, "--resume", model=rates).code in (0, 3)
        assert kept.read_text() == whole
    refused = sercli(tones / "a.wav", "--scale", 1, 5)
    assert (refused.code, refused.out) == (2, "")
    assert "which tiny does not rate" in refused.err


def test_one_file_is_quiet(sercli: Sercli, tones: Path) -> None:
    result = sercli(tones / "a.wav")
    assert (result.code, result.err) == (0, "")
    (row,) = result.rows
    assert list(row) == ["path", "start", "end", "label", "score", "scores", "model", "seconds", "status", "error"]
    assert (row["path"], row["start"], row["end"], row["seconds"]) == (str(tones / "a.wav"), 0.0, 1.5, 1.5)
    assert (row["label"], row["status"], row["error"]) == ("sad", "ok", None)
    assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-9)
    assert row["score"] == row["scores"]["sad"] > 0.9
    assert row["model"].startswith("tiny@")


def test_folder_in_order_with_failure(sercli: Sercli, tones: Path) -> None:
    result = sercli(tones)
    assert result.code == 3
    found = [(Path(row["path"]).name, row["label"], row["status"]) for row in result.rows]
    assert found == [
        ("a.wav", "sad", "ok"),
        ("b.flac", "angry", "ok"),
        ("broken.wav", None, "error"),
        ("c.wav", "neutral", "ok"),
    ]
    assert result.rows[2]["error"].startswith("not readable as audio")
    lines = result.err.splitlines()
    assert lines[0].startswith(f"sercli: error: {tones}/broken.wav: not readable as audio")
    assert lines[1:] == ["3 labelled, 1 failed, 1 skipped (.txt 1)"]


def test_files_named_are_tried_whatever_their_name(sercli: Sercli, tones: Path) -> None:
    (tones / "a.wav").rename(tones / "a.dat")
    result = sercli(tones / "a.dat", tones / "notes.txt", "-q")
    assert result.code == 3
    assert [row["status"] for row in result.rows] == ["ok", "error"]
    assert len(result.err.splitlines()) == 1


def test_all_failed(sercli: Sercli, tmp_path: Path) -> None:
    result = sercli(tmp_path / "none.wav", tmp_path / "nor.wav")
    assert result.code == 1
    assert [row["error"] for row in result.rows] == ["no such file; check the path"] * 2


def test_folder_without_audio(sercli: Sercli, tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"x")
    result = sercli(tmp_path)
    assert (result.code, result.out) == (1, "")
    assert "no audio files" in result.err
    assert "skipped: .m4a 1" in result.err


def test_hidden_and_linked_folders(sercli: Sercli, tones: Path) -> None:
    (tones / "broken.wav").unlink()
    (tones / "._a.wav").write_bytes(b"resource fork")
    (tones / "sub" / "loop").symlink_to(tones)
    result = sercli(tones)
    assert result.code == 0
    assert len(result.rows) == 3
    assert "hidden 1" in result.err


def test_silence_row(sercli: Sercli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(RATE), RATE)
    (row,) = sercli(tmp_path / "s.wav").rows
    assert (row["status"], row["label"], row["score"], row["scores"]) == ("silence", None, None, {})
    soundfile.write(tmp_path / "s.wav", tone(200, 1.0, amplitude=3e-3), RATE)
    assert sercli(tmp_path / "s.wav").rows[0]["label"] == "sad"
    assert sercli(tmp_path / "s.wav", "--silence", -40).rows[0]["status"] == "silence"


def test_csv(sercli: Sercli, tones: Path) -> None:
    rows = list(csv.DictReader(sercli(tones, "--format", "csv").out.splitlines()))
    assert [row["label"] for row in rows] == ["sad", "angry", "", "neutral"]
    assert set(rows[0]) >= {"score_sad", "score_neutral", "score_angry"}
    assert rows[0]["seconds"] == "1.500"


def test_json(sercli: Sercli, tones: Path) -> None:
    result = sercli(tones, "--format", "json")
    assert [row["label"] for row in json.loads(result.out)] == ["sad", "angry", None, "neutral"]


def test_table(sercli: Sercli, tones: Path) -> None:
    lines = sercli(tones / "a.wav", "-f", "table").out.splitlines()
    assert lines[0].split() == ["seconds", "label", "score", "file"]
    assert lines[1].split()[:2] == ["1.500", "sad"]
    assert lines[1].endswith(str(tones / "a.wav"))


def test_timeline(sercli: Sercli, tmp_path: Path) -> None:
    audio = np.concatenate([tone(200, 2.0), np.zeros(2 * RATE, np.float32), tone(3_000, 1.25)])
    soundfile.write(tmp_path / "a.wav", audio, RATE)
    rows = sercli(tmp_path / "a.wav", "--timeline", "--window", 1, "--hop", 1).rows
    assert [(row["start"], row["end"]) for row in rows] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 5.25)]
    assert [row["label"] for row in rows] == ["sad", "sad", None, None, "angry", "angry"]
    assert {row["seconds"] for row in rows} == {5.25}
    labels = sercli(tmp_path / "a.wav", "-f", "audacity", "--window", 1, "--hop", 1).out
    assert labels == "0.000\t2.000\tsad\n4.000\t5.250\tangry\n"
    assert "sad (1.00)" in sercli(tmp_path / "a.wav", "-f", "srt").out
    assert 'text = "angry"' in sercli(tmp_path / "a.wav", "-f", "textgrid").out


def test_timeline_rows_come_before_a_late_error(sercli: Sercli, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 70 * RATE)
    soundfile.write(tmp_path / "a.flac", noise, RATE)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) * 3 // 4])
    outputs = [sercli(tmp_path / "a.flac", "--timeline", "--hop", 5, "--window", 5, "--threads", n) for n in (1, 3)]
    assert outputs[0].out == outputs[1].out
    assert [row["status"] for row in outputs[0].rows][:-1] == ["ok"] * (len(outputs[0].rows) - 1)
    assert outputs[0].rows[-1]["status"] == "error"
    assert len(outputs[0].rows) > 3
    assert outputs[0].code == 1


def test_segments_of_several_inputs(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    result = sercli(tones, "-f", "srt")
    assert result.code == 2
    assert "--output FOLDER" in result.err
    out = tmp_path / "out"
    assert sercli(tones, "-f", "textgrid", "-o", out).code == 3
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == ["a.wav.TextGrid", "b.flac.TextGrid", "sub/c.wav.TextGrid"]
    again = sercli(tones, "-f", "textgrid", "-o", out)
    assert again.code == 1
    assert "is not empty" in again.err
    assert sercli(tones, "-f", "textgrid", "-o", out, "--overwrite").code == 3


def test_top_labels_threshold(sercli: Sercli, tones: Path) -> None:
    (row,) = sercli(tones / "sub" / "c.wav", "--top", 2).rows
    assert list(row["scores"]) == ["neutral", "angry"]
    (row,) = sercli(tones / "sub" / "c.wav", "--labels", "angry, sad").rows
    assert list(row["scores"]) == ["sad", "angry"]
    assert sum(row["scores"].values()) == pytest.approx(1)
    (row,) = sercli(tones / "sub" / "c.wav", "--threshold", 1).rows
    assert (row["label"], row["status"]) == ("uncertain", "ok")
    wrong = sercli(tones / "sub" / "c.wav", "--labels", "angre")
    assert wrong.code == 2
    assert 'did you mean "angry"' in wrong.err


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "table"])
def test_results_do_not_depend_on_threads_or_company(sercli: Sercli, tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(3)
    for index in range(24):
        seconds = float(rng.uniform(0.05, 9.0))
        audio = tone(float(rng.uniform(150, 5_000)), seconds) + 0.05 * rng.standard_normal(round(seconds * RATE))
        soundfile.write(tmp_path / f"{index:02d}.flac", audio, RATE)
    outputs = {sercli(tmp_path, "-f", form, "--threads", threads).out for threads in (1, 2, 7)}
    assert len(outputs) == 1
    if form == "jsonl":
        alone = "".join(sercli(path).out for path in sorted(tmp_path.iterdir()))
        assert alone == outputs.pop()


def _process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, check=False, **options)


def test_stdin_equals_file(tiny_bundle: Path, tones: Path) -> None:
    data = (tones / "b.flac").read_bytes()
    piped = _process("-", "--stdin-name", tones / "b.flac", "-m", tiny_bundle, input=data)
    named = _process(tones / "b.flac", "-m", tiny_bundle)
    assert piped.stdout == named.stdout != b""
    assert json.loads(_process("-", "-m", tiny_bundle, input=data).stdout)["path"] == "-"
    nothing = _process("-", "-m", tiny_bundle, input=b"")
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout)["error"].startswith("empty input")


def test_raw_pcm_on_stdin(tiny_bundle: Path) -> None:
    pcm = (tone(3_000, 1.0, 8_000) * 32767).astype("<i2").tobytes()
    done = _process("-", "--raw", "--rate", 8_000, "--dtype", "s16le", "-m", tiny_bundle, input=pcm)
    row = json.loads(done.stdout)
    assert (row["label"], row["end"], done.returncode) == ("angry", 1.0, 0)


def test_broken_pipe_is_quiet(tiny_bundle: Path, tones: Path) -> None:
    many = [tones / "a.wav"] * 300
    running = subprocess.Popen(
        [*COMMAND, *map(str, many), "-q", "-m", tiny_bundle], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert json.loads(running.stdout.readline())["label"] == "sad"
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait() == 0
    running.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tiny_bundle: Path, tones: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, str(tones / "a.wav"), "-m", str(tiny_bundle)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"the disk is full" in done.stderr
    done = _process(tones / "a.wav", "-m", tiny_bundle, "-o", "/dev/full", "-f", "csv")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"go on with --resume" in done.stderr


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("timeline", [False, True])
def test_resume_after_any_cut(sercli: Sercli, tones: Path, tmp_path: Path, form: str, timeline: bool) -> None:
    more = ["--timeline"] if timeline else []
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert sercli(tones, "-f", form, "-o", whole, *more).code == 3
    data = whole.read_bytes()
    for cut in [0, 1, 30, *range(100, len(data), 97), len(data) - 1, len(data)]:
        part.write_bytes(data[:cut])
        result = sercli(tones, "-f", form, "-o", part, "--resume", *more)
        assert (result.code, part.read_bytes()) == (3, data), cut
    missing = tmp_path / "missing"
    assert sercli(tones, "-f", form, "-o", missing, "--resume", *more).code == 3
    assert missing.read_bytes() == data


def test_resume_skips_what_is_done(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    sercli(tones, "-o", out)
    (tones / "d.wav").write_bytes((tones / "a.wav").read_bytes())
    result = sercli(tones, "-o", out, "--resume")
    assert result.err.splitlines()[-1] == "1 labelled, 3 done before, 1 failed, 1 skipped (.txt 1)"
    assert len(out.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--labels", "sad,angry"], "--labels"),
        (["--top", "1"], "--top"),
        (["--threshold", "1"], "--threshold"),
        (["--timeline", "--window", "0.5"], "--window"),
    ],
)
def test_resume_refuses_other_settings(
    sercli: Sercli, tones: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    out = tmp_path / "out.jsonl"
    sercli(tones, "-o", out)
    before = out.read_bytes()
    result = sercli(tones, "-o", out, "--resume", *options)
    assert result.code == 1
    assert "other settings" in result.err
    assert named in result.err
    assert out.read_bytes() == before


def test_resume_refuses_another_model_or_file(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    sercli(tones, "-o", out)
    other = make_bundle(tmp_path / "other", sharpness=1.0)
    result = sercli(tones, "-o", out, "--resume", model=other)
    assert result.code == 1
    assert "was labelled by tiny@" in result.err
    (tmp_path / "notes.csv").write_text("something,else\n1,2\n")
    assert "--overwrite" in sercli(tones, "-o", tmp_path / "notes.csv", "--resume").err
    (tmp_path / "notes.jsonl").write_text("one\ntwo\n")
    assert "not a result" in sercli(tones, "-o", tmp_path / "notes.jsonl", "--resume").err


def test_existing_output_is_kept(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    result = sercli(tones / "a.wav", "-o", out)
    assert (result.code, out.read_text()) == (1, "precious")
    assert "already exists" in result.err
    assert sercli(tones / "a.wav", "-o", out, "--overwrite").code == 0
    assert out.read_text().startswith("path,start")


def test_output_that_is_an_input(sercli: Sercli, tones: Path) -> None:
    before = (tones / "a.wav").read_bytes()
    for given in (tones / "a.wav", tones):
        result = sercli(given, "-o", tones / "a.wav", "--overwrite")
        assert result.code == 1
        assert "is also an input" in result.err
    assert (tones / "a.wav").read_bytes() == before


def test_output_that_cannot_be_written(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    assert "does not exist" in sercli(tones / "a.wav", "-o", tmp_path / "no" / "out.csv").err
    assert "is a folder" in sercli(tones / "a.wav", "-o", tmp_path, "--overwrite", "-f", "csv").err
    result = sercli(tones / "a.wav", "-o", "/proc/out.csv")
    assert result.code == 1
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_interrupt_leaves_a_valid_file(tiny_bundle: Path, tones: Path, tmp_path: Path, form: str) -> None:
    for index in range(1_600):
        (tones / f"link{index:04d}.wav").symlink_to(tones / "a.wav")
    (tones / "broken.wav").unlink()
    out = tmp_path / "out"
    arguments = [tones, "-m", tiny_bundle, "-f", form, "-o", out]
    # A test run in the background ignores SIGINT, and so would its children: let this one hear it.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, inherited)
    while not (out.exists() and out.stat().st_size > 2_000):
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    assert running.returncode == 130, err
    assert b"continue with --resume" in err
    text = out.read_text()
    if form == "json":
        rows = len(json.loads(text))
    elif form == "csv":
        rows = len(list(csv.DictReader(text.splitlines())))
    else:
        rows = len([json.loads(line) for line in text.splitlines()])
    assert 0 < rows < 1_603
    assert _process(*arguments, "--resume").returncode == 0
    whole = tmp_path / "whole"
    assert _process(tones, "-m", tiny_bundle, "-f", form, "-o", whole).returncode == 0
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "--raw"], "--raw needs --rate"),
        (["a.wav", "--rate", "8000"], "--rate describes raw PCM"),
        (["a.wav", "--hop", "1"], "--hop needs --timeline"),
        (["a.wav", "--resume"], "--resume needs --output"),
        (["a.wav", "--overwrite"], "--overwrite needs --output or --report"),
        (["a.wav", "--resume", "--overwrite", "-o", "x"], "exclude each other"),
        (["a.wav", "--resume", "-o", "x.srt"], "cannot continue srt"),
        (["-", "--resume", "-o", "x.csv"], "cannot continue standard input"),
        (["-", "-"], "only once"),
        (["a.wav", "--model", "mikro"], "no student named 'mikro'"),
        (["a.wav", "--window", "0.01", "--timeline"], "at least 0.1 s"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage(sercli: Sercli, arguments: list[str], message: str) -> None:
    result = sercli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_paths_that_are_no_utf8(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.wav")
    (tones / "a.wav").rename(tones / name)
    (row,) = sercli(tones / name).rows
    assert row["path"] == str(tones / name)
    out = tmp_path / "out.csv"
    assert sercli(tones / name, "-o", out).code == 0
    assert b"\xff.wav" in out.read_bytes()
    assert sercli(tones / name, "-o", out, "--resume").code == 0
    assert out.read_bytes().count(b"\n") == 2


def test_format_follows_output_name(sercli: Sercli, tones: Path, tmp_path: Path) -> None:
    for name, start in [
        ("o.csv", "path,"),
        ("o.json", "[\n"),
        ("o.jsonl", "{"),
        ("o.TextGrid", "File type"),
        ("o", "{"),
    ]:
        assert sercli(tones / "a.wav", "-o", tmp_path / name).code == 0
        assert (tmp_path / name).read_text().startswith(start)


def test_verbose_and_click_runner(tiny_bundle: Path, tones: Path) -> None:
    done = CliRunner().invoke(predict, [str(tones / "a.wav"), "-m", str(tiny_bundle), "-v"])
    assert json.loads(done.stdout)["label"] == LABELS[0]
    assert done.stderr.startswith("model tiny@")
    assert "x real time" in done.stderr


def test_pcm_choices_are_those_of_the_reader() -> None:
    assert set(PCM_CHOICES) == set(PCM_TYPES)

"""`sercli listen`: streams, exit codes, endings and refusals, with a fake microphone and with files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sercli.cli.main import run
from tests.cli.test_main import FORBIDDEN_IN_PREDICT, RUN, modules_after
from tests.live.fake_portaudio import MONO, SPEAKER, STEREO, FakePortAudio, blocks
from tests.live.voice import voice
from tests.tiny import RATE, make_bundle

KEYS = ["time", "start", "end", "speech", "label", "score", "scores", "smoothed", "level_db", "latency_ms"]
SAMPLE = Path(__file__).parents[1] / "sample.flac"
COMMAND = [sys.executable, "-W", "error", "-m", "sercli", "listen"]


class Result:
    """What one run left: exit code, stdout and stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def hops(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Listen = Callable[..., Result]


@pytest.fixture
def listen(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> Listen:
    """Run `sercli listen` with the tiny student in this process."""

    def call(*arguments: object, model: object = tiny_bundle) -> Result:
        code = run(["listen", "--model", str(model), "--window", "1", *map(str, arguments)])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakePortAudio]:
    def put(script: Sequence[np.ndarray | str] = (), **changes: Any) -> FakePortAudio:
        made = FakePortAudio(script, **changes)
        monkeypatch.setitem(sys.modules, "sounddevice", made)
        return made

    return put


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of sad, two of silence, two of angry."""
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", np.concatenate([voice(200, 2.0), quiet, voice(3_000, 2.0)]), RATE)
    return tmp_path / "clip.wav"


def test_json_lines(listen: Listen, clip: Path) -> None:
    result = listen("--replay", clip, "--fast")
    assert result.code == 0
    assert [list(hop) for hop in result.hops] == [KEYS] * 21
    labels = [hop["label"] for hop in result.hops]
    assert [label for at, label in enumerate(labels) if at == 0 or labels[at - 1] != label] == ["sad", None, "angry"]
    silent = next(hop for hop in result.hops if not hop["speech"])
    assert (silent["score"], silent["smoothed"]) == (None, {})
    title, summary = result.err.splitlines()
    assert title == f"tiny listens to {clip}: 1 s every 0.25 s, smoothing 0.5 s"
    assert summary.startswith("0:00:06.0 heard: sad ")
    assert listen("--replay", clip, "--fast", "-q").err == ""


@pytest.mark.parametrize(("window", "hop"), [(3, 0.25), (1, 0.1), (0.7, 2)])
def test_scores_are_those_of_predict(capfd: pytest.CaptureFixture[str], window: float, hop: float) -> None:
    """The bundled student on the real clip, by both commands."""
    size = ["--window", str(window), "--hop", str(hop)]
    assert run(["predict", str(SAMPLE), "--timeline", *size]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert run(["listen", "--replay", str(SAMPLE), "--fast", *size]) == 0
    hops = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(hop["start"], hop["end"]) for hop in hops] == [(row["start"], row["end"]) for row in rows]
    for hop_found, row in zip(hops, rows, strict=True):
        assert hop_found["scores"] == pytest.approx(row["scores"], abs=1e-4)


def test_dimensions(listen: Listen, clip: Path, tmp_path: Path) -> None:
    hops = listen("--replay", clip, "--fast", model=make_bundle(tmp_path / "rates", rates=True)).hops
    assert list(hops[0]) == [*KEYS[:8], "arousal", "valence", "dominance", *KEYS[8:]]
    assert 0.0 < hops[0]["arousal"] < 1.0
    assert list(next(hop for hop in hops if not hop["speech"])) == KEYS


def test_lines(listen: Listen, clip: Path) -> None:
    lines = listen("--replay", clip, "--fast", "--format", "lines").out.splitlines()
    assert [line.split()[1] for line in lines] == ["sad", "no", "angry"]


def test_output_keeps_the_lines(listen: Listen, clip: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    result = listen("--replay", clip, "--fast", "--output", kept)
    assert kept.read_text() == result.out
    refused = listen("--replay", clip, "--fast", "--output", kept)
    assert (refused.code, refused.out) == (1, "")
    assert "already exists; use --overwrite or another --output" in refused.err
    assert listen("--replay", clip, "--fast", "--output", kept, "--overwrite", "--duration", 1).code == 0
    assert len(kept.read_text().splitlines()) == 1


def test_microphone(listen: Listen, fake: Callable[..., FakePortAudio], tmp_path: Path) -> None:
    signal = np.rint(voice(200, 4.0) * 2**15) / 2**15
    fake(blocks(signal, 320))
    result = listen("--duration", 2, "--record", tmp_path / "kept.wav", "-v")
    assert result.code == 0
    assert [hop["end"] for hop in result.hops] == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert {hop["label"] for hop in result.hops} == {"sad"}
    lines = result.err.splitlines()
    assert lines[:2] == ["tiny listens to Built-in Microphone: 1 s every 0.25 s, smoothing 0.5 s", "ready"]
    assert lines[2] == "0:00:02.0 heard: sad 1.2 s, nothing claimed 0.8 s"
    assert "of a core per second of audio" in lines[3]
    kept, _ = soundfile.read(tmp_path / "kept.wav", dtype="float32")
    assert np.array_equal(kept, signal[: 2 * RATE].astype(np.float32))


def test_device_lost(listen: Listen, fake: Callable[..., FakePortAudio], tmp_path: Path) -> None:
    """What was heard before is there, the error is one line."""
    fake([*blocks(voice(200, 2.0), 320), "end"])
    result = listen("--record", tmp_path / "kept.wav")
    assert result.code == 1
    assert [hop["end"] for hop in result.hops] == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert result.err.splitlines()[-2] == "0:00:02.0 heard: sad 1.2 s, nothing claimed 0.8 s"
    assert result.err.splitlines()[-1] == (
        "sercli: error: Built-in Microphone: the device is gone; plug it in, and start again"
    )
    assert soundfile.info(tmp_path / "kept.wav").frames == 2 * RATE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": (SPEAKER,), "chosen": -1}, "no microphone found"),
        (
            {"refuse": lambda _: "Device unavailable [PaErrorCode -9985]"},
            "Built-in Microphone: busy; close the program",
        ),
        ({"refuse": lambda _: "'Permission denied'"}, "Built-in Microphone: permission denied"),
    ],
)
def test_no_way_to_listen(
    listen: Listen, fake: Callable[..., FakePortAudio], changes: dict[str, Any], message: str
) -> None:
    fake(**changes)
    result = listen("-q")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert message in result.err


def test_devices(listen: Listen, fake: Callable[..., FakePortAudio]) -> None:
    fake(inputs=(SPEAKER, MONO, STEREO))
    assert listen("--devices", "-f", "lines").out.splitlines() == [
        "*   1   1 channels   16000 Hz  Built-in Microphone",
        "    2   2 channels   44100 Hz  USB Headset: Audio (hw:1,0)",
    ]
    assert listen("--devices").hops[0] == {
        "index": 1, "name": "Built-in Microphone", "channels": 1, "rate": 16_000, "default": True,
    }  # fmt: skip
    fake(inputs=(), chosen=-1)
    assert listen("--devices").code == 1


def test_commands(listen: Listen, clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    on = [part for label in ("sad", "silence", "angry") for part in ("--on", f'{label}=echo "$SERCLI_LABEL." >> {log}')]
    result = listen("--replay", clip, "--fast", *on, "--shell")
    assert result.code == 0
    assert sorted(log.read_text().splitlines()) == [".", "angry.", "sad."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fast"], "--fast needs --replay"),
        (["--replay", "a.wav", "--record", "b.wav"], "--record belongs to a microphone"),
        (["--replay", "a.wav", "--device", "1"], "--device belongs to a microphone"),
        (["--record", "a.flac"], "--record writes WAV; call it a.wav"),
        (["--overwrite"], "--overwrite needs --output or --record"),
        (["--shell"], "--shell needs --on"),
        (["--format", "screen"], "needs a terminal"),
        (["--window", "0.01"], "--window must be at least 0.1 s for tiny"),
        (["--labels", "sadd"], 'did you mean "sad"'),
        (["--on", "glad=true"], "no such label"),
        (["--hop", "0"], "--hop"),
        (["--threshold", "2"], "--threshold"),
    ],
)
def test_usage(listen: Listen, arguments: list[str], message: str) -> None:
    result = listen(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_files_that_are_kept_do_not_overwrite_what_is_heard(listen: Listen, clip: Path, tmp_path: Path) -> None:
    before = clip.read_bytes()
    result = listen("--replay", clip, "--fast", "--output", clip, "--overwrite")
    assert (result.code, clip.read_bytes()) == (1, before)
    assert "is also an input" in result.err
    both = tmp_path / "a.wav"
    result = listen("--output", both, "--record", both)
    assert (result.code, both.exists()) == (2, False)
    assert "two files" in result.err


def test_nothing_is_left_behind_without_a_microphone(
    listen: Listen, fake: Callable[..., FakePortAudio], tmp_path: Path
) -> None:
    fake(inputs=(), chosen=-1)
    assert listen("--output", tmp_path / "a.jsonl", "--record", tmp_path / "a.wav").code == 1
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(tiny_bundle: Path, clip: Path, tmp_path: Path, closed: str) -> None:
    """What is opened next does not take the place of a closed stream, where messages would be written into it."""
    kept = tmp_path / "kept.jsonl"
    arguments = ["-m", str(tiny_bundle), "--window", "1", "--fast", "--replay", str(clip), "--output", str(kept)]
    done = subprocess.run(["bash", "-c", f'"$@" {closed}', "-", *COMMAND, *arguments], check=False, timeout=60)
    assert done.returncode == 0
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 21


def test_defaults_are_those_of_the_engine() -> None:
    from sercli.cli.listen import listen as command
    from sercli.live import commands, session

    defaults = {option.name: option.default for option in command.params}
    assert (defaults["hop"], defaults["smoothing"]) == (session.HOP_SECONDS, session.SMOOTHING_SECONDS)
    assert (defaults["speech"], defaults["on_every"]) == (session.SPEECH_SECONDS, commands.EVERY_SECONDS)


def test_missing_file(listen: Listen) -> None:
    result = listen("--replay", "none.wav")
    assert (result.code, result.err) == (1, "sercli: error: none.wav: no such file; check the path\n")


def test_ctrl_c_is_the_normal_end(tiny_bundle: Path, clip: Path) -> None:
    """Lines come while listening, each at once; Ctrl-C sums up and exits with 0."""
    process = subprocess.Popen(
        [*COMMAND, "-m", str(tiny_bundle), "--window", "1", "--replay", str(clip)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["end"], process.poll()) == (1.0, None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(list(json.loads(line)) == KEYS for line in out.splitlines())
    assert err.splitlines()[-1].split(" heard: ")[1].startswith("sad ")
    assert "Traceback" not in err


def test_reader_gone(tiny_bundle: Path, clip: Path) -> None:
    command = " ".join([*COMMAND, "-q", "-m", str(tiny_bundle), "--window", "1", "--replay", str(clip)])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_listen_imports_no_torch(tiny_bundle: Path, clip: Path) -> None:
    names = modules_after(RUN.format(arguments=["listen", "-m", str(tiny_bundle), "--fast", "--replay", str(clip)]))
    assert names >= {"onnxruntime", "soundfile"}
    assert not names & (FORBIDDEN_IN_PREDICT | {"soxr", "tqdm", "sounddevice", "rich"})

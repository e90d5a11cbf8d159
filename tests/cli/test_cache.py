import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sercli.cli.main import run
from sercli.training.teacher_cache import CacheKey, TeacherCache

LAST_USE = 1_750_000_000  # 2025-06-15 15:06:40 UTC


def sercli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["cache", *map(str, arguments)])
    streams = capsys.readouterr()
    return int(code), streams.out, streams.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of two encoders, one with two settings, and of decoded audio."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SERCLI_CACHE", str(folder))
    for encoder, layers, clips in (("lab/large", [6], 3), ("lab/large", [4, 6], 1), ("small", [2], 2)):
        cache = TeacherCache(CacheKey(encoder, "ab" * 32, {"layers": layers, "pooling": "mean"}))
        for clip in range(clips):
            cache.add(f"clip {clip}", {"pooled": np.zeros((len(layers), 512))})
        os.utime(cache.folder / "key.json", (LAST_USE, LAST_USE))
    audio = folder / "audio"
    audio.mkdir()
    (audio / f"{'0a' * 12}.i16").write_bytes(bytes(2_000))
    (audio / f"{'0a' * 12}.json").write_text("[0, 400, 1000]")
    os.utime(audio / f"{'0a' * 12}.i16", (LAST_USE, LAST_USE))
    return folder


def kept(folder: Path) -> list[str]:
    names = [path.name.rsplit("-", 1)[0] for path in (folder / "teacher").iterdir()]
    return sorted(names) + [path.name for path in folder.glob("audio")]


def test_info_table(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, err = sercli(capsys, "info")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "KEPT FOR          CLIPS       SIZE  LAST USE (UTC)    SETTINGS"
    assert sorted(line.split()[0] for line in lines[1:]) == ["decoded", "lab/large", "lab/large", "small"]
    assert lines[-1] == "decoded audio         2     2.0 kB  2025-06-15 15:06"
    (large,) = (line for line in lines if line.startswith("lab/large") and "layers=[6]" in line)
    assert large.split()[1] == "3"
    assert large.endswith(" kB  2025-06-15 15:06  layers=[6] pooling=mean")
    assert err.endswith(f" kB in {folder}\n")


def test_info_json(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, err = sercli(capsys, "info", "--format", "json")
    report = json.loads(out)
    assert (code, err, report["folder"]) == (0, "", str(folder))
    assert report["nbytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert sum(entry["nbytes"] for entry in report["holdings"]) == report["nbytes"]
    assert report["holdings"][-1] == {
        "encoder": None,
        "settings": {},
        "clips": 2,
        "nbytes": 2_014,
        "used": "2025-06-15T15:06:40+00:00",
    }
    clips = {(entry["encoder"], str(entry["settings"].get("layers"))): entry["clips"] for entry in report["holdings"]}
    assert clips == {("lab/large", "[6]"): 3, ("lab/large", "[4, 6]"): 1, ("small", "[2]"): 2, (None, "None"): 2}


def test_empty_cache(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "none"))
    assert sercli(capsys, "info") == (
        0,
        "KEPT FOR     CLIPS       SIZE  LAST USE (UTC)    SETTINGS\n",
        f"0 B in {tmp_path / 'none'}\n",
    )
    assert sercli(capsys, "clear", "--all") == (0, "", "nothing to clear\n")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--encoder", "lab/large"], ["small", "audio"]),
        (["--encoder", "small", "--audio"], ["lab-large", "lab-large"]),
        (["--encoder", "small", "--encoder", "lab/large"], ["audio"]),
        (["--audio"], ["lab-large", "lab-large", "small"]),
        (["--all"], []),
    ],
)
def test_clear(capsys: pytest.CaptureFixture[str], folder: Path, options: list[str], left: list[str]) -> None:
    code, out, err = sercli(capsys, "clear", *options, "--yes")
    assert (code, out) == (0, "")
    assert err.startswith("deleted ")
    assert kept(folder) == left


def test_clear_says_what_it_deletes(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    _, _, err = sercli(capsys, "clear", "--audio", "--encoder", "lab/large", "-y")
    assert err.startswith("deleted lab/large, decoded audio: 6 clips, ")


@pytest.mark.parametrize(("answer", "code", "said"), [("y", 0, "deleted"), ("", 1, "nothing deleted")])
def test_clear_asks_on_a_terminal(folder: Path, answer: str, code: int, said: str) -> None:
    screen, terminal = os.openpty()
    os.write(screen, f"{answer}\n".encode())
    command = [sys.executable, "-m", "sercli", "cache", "clear", "--all"]
    done = subprocess.run(command, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=False)
    shown = os.read(screen, 10_000).decode()
    os.close(terminal)
    os.close(screen)
    assert (done.returncode, done.stdout) == (code, b"")
    assert re.search(rf"delete .*lab/large.*decoded audio: 8 clips, .* kB\? \[y/N\]: \s*{said}", shown)
    assert len(list(folder.rglob("*.i16"))) == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "clear what? --encoder NAME, --audio or --all; `sercli cache info` lists them"),
        (["--yes"], "clear what? --encoder NAME, --audio or --all; `sercli cache info` lists them"),
        (["--encoder", "smal"], 'nothing kept for encoder "smal" (did you mean "small"?); see `sercli cache info`'),
        (["--audio"], "would delete decoded audio: 2 clips, 2.0 kB; add --yes"),
    ],
)
def test_clear_that_cannot_start(
    capsys: pytest.CaptureFixture[str], folder: Path, options: list[str], message: str
) -> None:
    assert sercli(capsys, "clear", *options) == (2, "", f"sercli: error: {message}\n")
    assert len(kept(folder)) == 4


@pytest.mark.parametrize("place", ["audio", "teacher/small-*"])
def test_clear_refuses_what_is_not_its_own(capsys: pytest.CaptureFixture[str], folder: Path, place: str) -> None:
    foreign = next(folder.glob(place)) / "notes.txt"
    foreign.write_text("mine")
    code, out, err = sercli(capsys, "clear", "--all", "--yes")
    assert (code, out) == (1, "")
    assert err == f"sercli: error: {foreign}: not written by sercli, nothing deleted; move it elsewhere first\n"
    assert len(kept(folder)) == 4
    foreign.rename(folder / "notes.txt")
    assert sercli(capsys, "clear", "--all", "--yes")[0] == 0
    assert (folder / "notes.txt").read_text() == "mine"


def test_clear_follows_no_link(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.f16"
    target.touch()
    (next(folder.glob("teacher/small-*")) / "20250101T000000000000-1-00000000.f16").symlink_to(target)
    code, _, err = sercli(capsys, "clear", "--encoder", "small", "--yes")
    assert (code, target.exists()) == (1, True)
    assert "not written by sercli" in err


def test_leftovers_of_a_killed_run_are_cleared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for name in (f"{'0b' * 12}.77.part", f"{'0b' * 12}.77.index.part"):
        (folder / "audio" / name).write_bytes(bytes(1_000))
    (next(folder.glob("teacher/small-*")) / "key.json.77.part").touch()
    assert "4.0 kB" in sercli(capsys, "info")[1]
    assert sercli(capsys, "clear", "--all", "--yes")[0] == 0
    assert not list(folder.rglob("*.part"))


def test_a_foreign_folder_among_the_teachers(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "teacher" / "empty").mkdir()
    assert sercli(capsys, "info")[0] == 0
    key = folder / "teacher" / "empty" / "key.json"
    key.write_text("{}")
    code, out, err = sercli(capsys, "info")
    assert (code, out) == (1, "")
    assert err == f"sercli: error: {key}: not written by sercli, or damaged; move its folder elsewhere\n"

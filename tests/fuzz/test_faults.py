"""Commands that are killed, and disks that are full: what is done stays, the next run does the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for package in ("onnx", "torch"):
    pytest.importorskip(package, reason='needs the extra "train"')

from tests.fuzz.faults import FILL, SCENARIOS, SERCLI, endure  # noqa: E402
from tests.tiny import RATE, make_bundle, tone  # noqa: E402


@pytest.mark.parametrize("name", ["predict", "cache", "pull", "push"])
def test_killed_commands_lose_and_double_nothing(name: str, tmp_path: Path) -> None:
    with SCENARIOS[name](tmp_path) as scenario:
        endured = endure(scenario, kills=2, seed=1)
    assert endured.kills == 2
    assert endured.completions >= 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_labels_on_a_full_disk_go_on_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    import soundfile

    (tmp_path / "clips").mkdir()
    for index in range(300):
        soundfile.write(tmp_path / "clips" / f"{index:03d}.wav", tone(200 + 10 * index, 0.2), RATE)
    command = [*SERCLI, "predict", str(tmp_path / "clips"), "-m", str(make_bundle(tmp_path / "tiny")), "-q", "-o"]
    whole, part = tmp_path / "whole.jsonl", small_disk / "part.jsonl"
    assert subprocess.run([*command, str(whole)], check=False).returncode == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    done = subprocess.run([*command, str(part)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the disk is full; free some space" in done.stderr
    assert done.stderr.count("\n") == 1
    rows = part.read_bytes()
    assert whole.read_bytes().startswith(rows)
    assert rows.endswith(b"\n")
    assert 0 < len(rows) < whole.stat().st_size
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=512k", str(small_disk)], check=True)
    assert subprocess.run([*command, str(part), "--resume"], check=False).returncode == 0
    assert part.read_bytes() == whole.read_bytes()


def test_teacher_outputs_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with SCENARIOS["cache"](tmp_path) as scenario:
        clips = tmp_path / "clips"
        command = [sys.executable, "-c", FILL, str(clips), str(small_disk / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "OutputError" in done.stderr
        assert "free some space" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        assert subprocess.run(command, check=False).returncode == 0
        assert subprocess.run(scenario.command, check=False).returncode == 0
        right = scenario.result()
        scenario.clear()
        subprocess.run(["cp", "-r", str(small_disk / "cache"), str(tmp_path / "cache")], check=True)
        assert scenario.result() == right

import errno
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError, SercliError
from sercli.training import teacher_cache, teacher_fill
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import audio_digest, audio_digests, fill, size_text

RATE = 16_000
KEY = CacheKey("lab/tiny-encoder", "ab" * 32, {"layers": [4, 6], "pooling": "mean"})
CLIPS = 40

WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from sercli.corpora.table import Utterance
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill

folder, clips, seconds, *wait = sys.argv[1:]
cache = TeacherCache(CacheKey("lab/tiny-encoder", "ab" * 32, {"layers": [4, 6], "pooling": "mean"}), Path(folder))
def run(clip):
    time.sleep(float(seconds))
    return {"pooled": np.full((2, 8), len(clip)), "frames": np.arange(len(clip) // 320 * 8).reshape(-1, 8) % 99}
print("ready", flush=True)
sys.stdin.readline()
print(fill(cache, [Utterance(str(path)) for path in sorted(Path(clips).glob("*.wav"))], run).computed)
"""


def outputs(clip: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """A teacher of a pooled output of fixed size and of one frame each 20 ms, both told by the clip's length."""
    return {"pooled": np.full((2, 8), len(clip)), "frames": np.arange(len(clip) // 320 * 8).reshape(-1, 8) % 99}


def refuse(_: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    pytest.fail("computed again")


def counting(seen: list[int]) -> Callable[[npt.NDArray[np.float32]], dict[str, npt.NDArray[Any]]]:
    def run(clip: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        seen.append(len(clip))
        return outputs(clip)

    return run


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Clips of 0.1, 0.12, 0.14 ... s; the length of each is its own."""
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    for number in range(CLIPS):
        soundfile.write(folder / f"{number:02}.wav", noise[: 1_600 + 320 * number], RATE)
    return [Utterance(str(path)) for path in sorted(folder.iterdir())]


@pytest.fixture
def cache(tmp_path: Path) -> TeacherCache:
    return TeacherCache(KEY, tmp_path)


def start_worker(tmp_path: Path, seconds: float) -> "subprocess.Popen[str]":
    """Start a process that fills the cache once it is told to, taking so many seconds a clip."""
    arguments = [sys.executable, "-c", WORKER, str(tmp_path), str(tmp_path / "clips"), str(seconds)]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(arguments, text=True, bufsize=1, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert worker.stdout
    assert worker.stdout.readline() == "ready\n"
    return worker


def go(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdin
    worker.stdin.write("\n")


def assert_complete(cache: TeacherCache, utterances: list[Utterance]) -> None:
    assert cache.verify() == []
    assert len(cache) == len(utterances)
    for number, digest in enumerate(audio_digests(utterances)):
        for name, values in outputs(np.zeros(1_600 + 320 * number, np.float32)).items():
            assert np.array_equal(cache[digest][name], values)


def test_outputs_come_back_as_float16_in_their_shapes(cache: TeacherCache, tmp_path: Path) -> None:
    frames = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    given = {"logits": np.array([1.5, -2.0, 65_504.0]), "frames": np.asfortranarray(frames), "level": np.float32(0.25)}
    cache.add("a", given)
    cache.add("b", {"logits": np.zeros(3)})
    for opened in (cache, TeacherCache(KEY, tmp_path)):
        found = opened["a"]
        assert list(found) == ["logits", "frames", "level"]
        assert found["logits"].tolist() == [1.5, -2.0, 65_504.0]
        assert np.array_equal(found["frames"], frames.astype(np.float16))
        assert found["level"].shape == ()
        assert all(values.dtype == np.float16 for values in found.values())
        assert all(values.ctypes.data % 64 == 0 for values in found.values())
        assert not found["logits"].flags.writeable
        assert ("a" in opened, "c" in opened, len(opened)) == (True, False, 2)
    with pytest.raises(KeyError):
        cache["c"]


def test_a_folder_per_weights_and_settings(cache: TeacherCache, tmp_path: Path) -> None:
    cache.add("a", {"logits": np.zeros(3)})
    same = [
        CacheKey("lab/tiny-encoder", KEY.sha256, {"pooling": "mean", "layers": [4, 6]}),
        CacheKey("/home/me/the same weights", KEY.sha256, KEY.settings),
    ]
    other = [
        CacheKey("lab/tiny-encoder", "cd" * 32, KEY.settings),
        CacheKey("lab/tiny-encoder", KEY.sha256, {**KEY.settings, "layers": [4]}),
    ]
    assert cache.folder.name == f"lab-tiny-encoder-{KEY.digest[:12]}"
    assert ["a" in TeacherCache(key, tmp_path) for key in same + other] == [True, True, False, False]
    facts = json.loads((cache.folder / "key.json").read_text())
    assert facts == {"format": 1, "encoder": KEY.encoder, "sha256": KEY.sha256, "settings": KEY.settings}


def test_looking_makes_no_folder(cache: TeacherCache) -> None:
    assert (len(cache), cache.nbytes, cache.verify(), cache.folder.exists()) == (0, 0, [], False)


def test_second_run_computes_nothing(cache: TeacherCache, utterances: list[Utterance], tmp_path: Path) -> None:
    first = fill(cache, utterances, outputs, quiet=True)
    assert (first.computed, first.found) == (CLIPS, 0)
    size = cache.nbytes
    for opened in (cache, TeacherCache(KEY, tmp_path)):
        second = fill(opened, utterances, refuse, quiet=True)
        assert (second.computed, second.found, second.digests) == (0, CLIPS, first.digests)
        assert_complete(opened, utterances)
        assert opened.nbytes == size


def test_changed_clip_recomputes_only_itself(cache: TeacherCache, utterances: list[Utterance]) -> None:
    before = fill(cache, utterances, outputs, quiet=True).digests
    soundfile.write(utterances[5].path, np.full(4_000, 0.25, np.float32), RATE)
    os.utime(utterances[6].path)  # a touched file is no changed clip
    seen: list[int] = []
    after = fill(cache, utterances, counting(seen), quiet=True).digests
    assert seen == [4_000]
    assert [place for place in range(CLIPS) if before[place] != after[place]] == [5]
    assert cache[after[5]]["pooled"][0, 0] == 4_000


def test_stretches_of_one_file_are_clips_and_copies_are_one(cache: TeacherCache, utterances: list[Utterance]) -> None:
    path = utterances[20].path
    copy = Path(path).with_name("copy.wav")
    copy.write_bytes(Path(path).read_bytes())
    given = [Utterance(path), Utterance(path, end=0.25), Utterance(path, start=0.25, end=0.5), Utterance(str(copy))]
    seen: list[int] = []
    done = fill(cache, [*given, given[0]], counting(seen), quiet=True)
    assert sorted(seen) == [4_000, 4_000, 8_000]
    assert done.digests[0] == done.digests[3] == done.digests[4] == audio_digest(given[0])
    assert len(set(done.digests)) == 3


def test_what_a_killed_run_has_done_is_not_done_again(
    cache: TeacherCache, utterances: list[Utterance], tmp_path: Path
) -> None:
    with start_worker(tmp_path, 0.02) as worker:
        go(worker)
        until = time.monotonic() + 30
        while len(cache) < 5 and time.monotonic() < until:
            time.sleep(0.002)
            cache.refresh()
        worker.kill()
    cache.refresh()
    done = len(cache)
    assert 5 <= done < CLIPS
    seen: list[int] = []
    again = fill(cache, utterances, counting(seen), quiet=True)
    assert (again.computed, again.found, len(seen)) == (CLIPS - done, done, CLIPS - done)
    assert_complete(TeacherCache(KEY, tmp_path), utterances)


def test_two_processes_share_the_work(utterances: list[Utterance], tmp_path: Path) -> None:
    workers = [start_worker(tmp_path, 0.05) for _ in range(2)]
    for worker in workers:
        go(worker)
    computed = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert all(0 < count < CLIPS for count in computed)
    assert CLIPS <= sum(computed) < 1.5 * CLIPS
    cache = TeacherCache(KEY, tmp_path)
    assert_complete(cache, utterances)
    assert len(list(cache.folder.glob("*.f16"))) == 2


def test_two_writers_of_one_clip(cache: TeacherCache, tmp_path: Path) -> None:
    other = TeacherCache(KEY, tmp_path)
    cache.add("a", {"logits": np.array([1.0])})
    other.add("a", {"logits": np.array([2.0])})
    other.add("b", {"logits": np.array([3.0])})
    cache.refresh()
    assert (cache["a"]["logits"][0], cache["b"]["logits"][0]) == (1.0, 3.0)
    assert TeacherCache(KEY, tmp_path)["a"]["logits"][0] == 2.0  # of the pair of files made last


def test_a_forked_worker_writes_files_of_its_own(cache: TeacherCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.add("a", {"logits": np.zeros(3)})
    monkeypatch.setattr(teacher_cache.os, "getpid", lambda: 4_242)
    cache.add("b", {"logits": np.ones(3)})
    assert sorted("-4242-" in path.name for path in cache.folder.glob("*.f16")) == [False, True]


def test_a_spawned_worker_opens_it_anew(cache: TeacherCache) -> None:
    cache.add("a", {"logits": np.arange(9_000.0)})
    cache["a"]
    sent = pickle.dumps(cache)
    assert len(sent) < 1_000
    assert pickle.loads(sent)["a"]["logits"][7] == 7.0


def test_torn_and_damaged_lines_are_passed_over(cache: TeacherCache, tmp_path: Path) -> None:
    cache.add("a", {"logits": np.ones(3)})
    index = next(cache.folder.glob("*.jsonl"))
    line = index.read_text()
    beyond = line.replace('"a"', '"b"').replace('"offset":0', '"offset":64')
    index.write_text(line + "[]\n{\n\xff\n" + beyond + line.replace('"a"', '"c"').rstrip("\n"))
    opened = TeacherCache(KEY, tmp_path)
    assert (len(opened), opened["a"]["logits"].tolist()) == (1, [1.0, 1.0, 1.0])
    with index.open("a") as stream:
        stream.write("\n")  # the line has its end now
    opened.refresh()
    assert ("c" in opened, "b" in opened) == (True, False)


def test_bit_rot_is_found_and_mended(cache: TeacherCache, utterances: list[Utterance], tmp_path: Path) -> None:
    digests = fill(cache, utterances, outputs, quiet=True).digests
    arrays = next(cache.folder.glob("*.f16"))
    content = bytearray(arrays.read_bytes())
    content[cache._entries[digests[3]].offset + 5] ^= 1
    arrays.write_bytes(content)
    opened = TeacherCache(KEY, tmp_path)
    with pytest.raises(SercliError, match=r"f16: damaged; run again"):
        opened[digests[3]]
    assert opened.verify() == [digests[3]]
    assert (len(opened), digests[3] in opened) == (CLIPS - 1, False)
    seen: list[int] = []
    assert fill(TeacherCache(KEY, tmp_path), utterances, counting(seen), quiet=True).computed == 1
    assert seen == [1_600 + 3 * 320]
    assert_complete(TeacherCache(KEY, tmp_path), utterances)


def test_arrays_that_are_gone(cache: TeacherCache, tmp_path: Path) -> None:
    cache.add("a", {"logits": np.ones(3)})
    opened = TeacherCache(KEY, tmp_path)
    for path in cache.folder.glob("*.f16"):
        path.unlink()
    with pytest.raises(SercliError, match="if the cache was cleared, run again"):
        opened["a"]
    assert len(TeacherCache(KEY, tmp_path)) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, -70_000.0]), "lab/tiny-encoder: output layer.6 holds 70000, float16 ends at 65504"),
        (np.array([np.nan]), "output layer.6 holds nan"),
        (np.array([np.inf]), "output layer.6 holds inf"),
        (np.zeros((0, 4)), "output layer.6 is empty"),
    ],
)
def test_what_float16_cannot_hold(cache: TeacherCache, values: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        cache.add("a", {"logits": np.ones(3), "layer.6": values})
    assert ("a" in cache, cache.folder.exists()) == (False, False)


def test_full_disk_in_the_middle_of_a_clip(cache: TeacherCache, tmp_path: Path) -> None:
    """A limit on the size of files stops the write where a full disk does: part of it is on the disk."""
    cache.add("a", {"frames": np.ones(50_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_016, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write teacher outputs .*run again: what is done is kept"):
            cache.add("b", {"frames": np.ones(50_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert next(cache.folder.glob("*.f16")).stat().st_size == 150_016  # b is there in part
    cache.add("c", {"frames": np.full(50_000, 3.0)})
    for opened in (cache, TeacherCache(KEY, tmp_path)):
        assert (opened.verify(), "b" in opened) == ([], False)
        assert (opened["a"]["frames"].sum(dtype=float), opened["c"]["frames"].max()) == (50_000.0, 3.0)


def test_full_disk_is_named(cache: TeacherCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache.add("a", {"logits": np.ones(3)})
    monkeypatch.setattr(teacher_cache, "SYNC_SECONDS", -1.0)
    monkeypatch.setattr(teacher_cache.os, "fsync", full)
    with pytest.raises(OutputError, match=r"\(No space left on device\); free some space or set SERCLI_CACHE"):
        cache.add("b", {"logits": np.ones(3)})
    assert TeacherCache(KEY, tmp_path)["a"]["logits"].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(OutputError, match="Not a directory"):
        TeacherCache(KEY, Path(__file__)).add("a", {"logits": np.ones(3)})


def test_space_is_stated_before_it_starts(
    cache: TeacherCache, utterances: list[Utterance], capsys: pytest.CaptureFixture[str]
) -> None:
    stated, sizes = [], []

    def run(clip: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        stated.append(capsys.readouterr().err)
        sizes.append(cache.nbytes)
        return {"pooled": np.zeros(768), "frames": np.zeros((len(clip) // 320, 256))}

    fill(cache, utterances, run)
    pattern = rf"lab/tiny-encoder: 38 more clips need about ([\d.]+) kB in {cache.folder} \(.* free\)\n"
    assert (found := re.fullmatch(pattern, stated[2]))
    assert float(found[1]) == pytest.approx((cache.nbytes - sizes[2]) / 1e3, rel=0.01)
    assert not any(stated[:2] + stated[3:])


def test_too_little_space_stops_before_it_starts(
    cache: TeacherCache, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_fill.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9_000}))
    seen: list[int] = []
    with pytest.raises(OutputError, match=r"38 more clips need about [\d.]+ kB, 9\.0 kB are free; free some space"):
        fill(cache, utterances, counting(seen), quiet=True)
    assert seen == [1_600, 1_600 + 320 * 39]  # the shortest and the longest, which stay
    assert len(cache) == 2


def test_clips_that_cannot_be_read(cache: TeacherCache, utterances: list[Utterance], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    for name, message in (("text.wav", "not readable as audio"), ("none.wav", "No such file")):
        with pytest.raises(CorpusError, match=message):
            fill(cache, [*utterances[:3], Utterance(str(tmp_path / name))], outputs, quiet=True)
    assert fill(cache, [], refuse, quiet=True).computed == 0


@pytest.mark.parametrize(
    ("nbytes", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (12_345_678, "12.3 MB"), (2e12, "2.0 TB")]
)
def test_sizes_for_people(nbytes: float, text: str) -> None:
    assert size_text(nbytes) == text

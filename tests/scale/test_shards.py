"""Sources, shards and the store of a large run, without a cluster: the same rows as one machine, once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.audio import read_audio
from sercli.errors import AudioError, OutputError, UsageError
from sercli.runtime.batch import Settings
from sercli.runtime.inputs import Input, Inputs
from sercli.runtime.student import read_bundle
from sercli.scale.job import Job
from sercli.scale.shards import Shard, shards
from sercli.scale.sources import Sources
from sercli.scale.store import Store
from tests.tiny import RATE, tone

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory() -> Iterator[str]:
    """A folder in fsspec's memory, as a URL."""
    files = fsspec.filesystem("memory")
    files.makedirs("/bucket", exist_ok=True)
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def copy_to(url: str, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with fsspec.open(f"{url}/{path.relative_to(folder)}", "wb") as stream:
                stream.write(path.read_bytes())


def names(*given: object) -> list[str]:
    return [source.name for source in Sources([str(one) for one in given])]


def test_folders_and_files_as_on_one_machine(tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [str(tones), str(tones / "a.wav")]
    assert names(*given) == [source.name for source in Inputs(given)]
    monkeypatch.chdir(tones)
    (source,) = Sources(["a.wav"])
    assert (source.name, source.path) == ("a.wav", str(tones / "a.wav"))  # a worker stands in another folder


def test_patterns(tones: Path) -> None:
    assert names(f"{tones}/**/*.wav") == [str(tones / name) for name in ("a.wav", "broken.wav", "sub/c.wav")]
    with pytest.raises(UsageError, match="fits no file"):
        names(f"{tones}/*.mp3")


def test_tables_name_files_once(tones: Path) -> None:
    (tones / "clips.csv").write_text("path,emotion\na.wav,sad\nb.flac,angry\na.wav,sad\n")
    assert names(tones / "clips.csv") == [str(tones / "a.wav"), str(tones / "b.flac")]
    (tones / "clips.csv").write_text("path,start,end\na.wav,0.5,1\n")
    with pytest.raises(UsageError, match="names a stretch"):
        names(tones / "clips.csv")


def test_urls(tones: Path, memory: str) -> None:
    copy_to(memory, tones)
    sources = Sources([memory])
    below = [source.name.removeprefix("memory://").lstrip("/") for source in sources]
    assert below == ["bucket/a.wav", "bucket/b.flac", "bucket/broken.wav", "bucket/sub/c.wav"]
    assert sources.skipped == {".txt": 1}
    assert len(names(f"{memory}/*.wav")) == 2
    assert names(f"{memory}/none.wav") == [f"{memory}/none.wav"]
    with pytest.raises(UsageError, match="cannot be opened"):
        names("nosuchkind://bucket/a.wav")
    with pytest.raises(UsageError, match="standard input"):
        names("-")


def test_audio_behind_a_url(tones: Path, memory: str) -> None:
    copy_to(memory, tones)
    assert np.array_equal(read_audio(f"{memory}/b.flac"), read_audio(tones / "b.flac"))
    assert np.array_equal(read_audio((tones / "b.flac").as_uri()), read_audio(tones / "b.flac"))
    with pytest.raises(AudioError, match="no such file; check the URL"):
        read_audio(f"{memory}/none.wav")
    with pytest.raises(AudioError, match="not readable as audio"):
        read_audio(f"{memory}/broken.wav")


def test_shards_are_stretches_of_the_order() -> None:
    inputs = [Input(str(number), str(number), str(number)) for number in range(10)]
    cut = list(shards(inputs, 4))
    assert [(shard.number, [source.name for source in shard.inputs]) for shard in cut] == [
        (0, ["0", "1", "2", "3"]),
        (1, ["4", "5", "6", "7"]),
        (2, ["8", "9"]),
    ]
    assert cut == list(shards(iter(inputs), 4))
    assert len({shard.digest for shard in cut}) == 3


@pytest.fixture(params=["disk", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path, memory: str) -> str:
    return str(tmp_path / "out") if request.param == "disk" else f"{memory}/out"


def content(store: Store, name: str) -> bytes:
    with fsspec.open(f"{store.folder}/{name}", "rb") as stream:
        return bytes(stream.read())


@pytest.fixture
def job(tiny_bundle: Path, target: str) -> Job:
    bundle = read_bundle(tiny_bundle, precision="float32", offline=True)
    return Job(bundle, Settings(bundle.open().decision()), Store.at(target, "jsonl"), threads=2)


RUN = {"model": "tiny", "shard_size": 2}


def test_a_shard_done_twice_is_there_once(job: Job, tones: Path) -> None:
    job.store.begin(RUN, resume=False, overwrite=False)
    cut = list(shards(Sources([str(tones)]), 2))
    marks = [job.run(shard) for shard in cut]
    rows = [content(job.store, mark.file) for mark in marks]
    assert [mark.rows for mark in marks] == [2, 2]
    labels = [json.loads(line)["label"] for line in b"".join(rows).splitlines()]
    assert labels == ["sad", "angry", None, "neutral"]
    assert job.run(cut[0]) == marks[0]
    assert job.store.finished() == dict(enumerate(marks))
    assert content(job.store, marks[0].file) == rows[0]
    assert (marks[1].done, marks[1].failed) == (1, 1)
    assert marks[1].failures[0].startswith(f"{tones}/broken.wav: not readable")
    job.store.conclude(marks)
    manifest = json.loads(content(job.store, "manifest.json"))
    assert (manifest["rows"], manifest["done"], manifest["failed"], len(manifest["shards"])) == (4, 3, 1, 2)


def test_a_part_without_a_mark_is_not_finished(job: Job, tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job.store.begin(RUN, resume=False, overwrite=False)
    (shard,) = shards(Sources([str(tones)]), 9)
    write = Store._write

    def dies(self: Store, name: str, data: bytes) -> None:
        if name.startswith("done/"):
            raise KeyboardInterrupt
        write(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_write", dies)
        with pytest.raises(KeyboardInterrupt):
            job.run(shard)
    assert job.store.finished() == {}
    mark = job.run(shard)
    assert job.store.finished() == {0: mark}


def test_a_used_folder_is_not_touched_unasked(target: str, memory: str) -> None:
    store = Store.at(target, "jsonl")
    store.begin(RUN, resume=True, overwrite=False)
    with pytest.raises(OutputError, match="holds a run already"):
        store.begin(RUN, resume=False, overwrite=False)
    store.begin(RUN, resume=True, overwrite=False)
    with pytest.raises(OutputError, match=r"other settings \(model\)"):
        store.begin({**RUN, "model": "other"}, resume=True, overwrite=False)
    store.begin({**RUN, "model": "other"}, resume=False, overwrite=True)
    assert json.loads(content(store, "run.json"))["model"] == "other"
    other = replace(store, folder=f"{memory}/taken")
    with fsspec.open(f"{memory}/taken/holiday.jpg", "wb") as stream:
        stream.write(b"x")
    with pytest.raises(OutputError, match="not of a run"):
        other.begin(RUN, resume=True, overwrite=True)


def test_overwrite_takes_all_of_the_old_run_away(job: Job, tones: Path) -> None:
    job.store.begin(RUN, resume=False, overwrite=False)
    marks = [job.run(shard) for shard in shards(Sources([str(tones)]), 1)]
    job.store.conclude(marks)
    job.store.begin(RUN, resume=False, overwrite=True)
    assert job.store.finished() == {}
    assert job.store._names() <= {"run.json", "done"}


def test_parquet_holds_what_json_lines_hold(tiny_bundle: Path, tones: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason='needs the extra "scale"')
    soundfile.write(tones / "silent.wav", np.zeros(RATE), RATE)
    bundle = read_bundle(tiny_bundle, precision="float32", offline=True)
    found = {}
    for form in ("jsonl", "parquet"):
        job = Job(bundle, Settings(bundle.open().decision()), Store.at(tmp_path / form, form), threads=1)
        (shard,) = shards(Sources([str(tones)]), 9)
        found[form] = tmp_path / form / job.run(shard).file
    lines = [json.loads(line) for line in found["jsonl"].read_text().splitlines()]
    for line in lines:
        scores = line.pop("scores")
        line |= {f"score_{name}": scores.get(name) for name in ("sad", "neutral", "angry")}
    assert parquet.read_table(found["parquet"]).to_pylist() == [
        {name: line[name] for name in parquet.read_schema(found["parquet"]).names} for line in lines
    ]


def test_silence_of_a_shard_is_counted(job: Job, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "t.wav", tone(200, 1.0), RATE)
    inputs = tuple(Input(str(tmp_path / name), name, name) for name in ("s.wav", "t.wav"))
    mark = job.run(Shard(0, inputs))
    assert (mark.done, mark.silent, mark.seconds) == (2, 1, 2.0)

"""`predict --engine ray` on a real cluster of several nodes: what one machine says, row by row, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

ray = pytest.importorskip("ray", reason='needs the extra "scale"')
pytest.importorskip("pyarrow", reason='needs the extra "scale"')

from tests.tiny import RATE, make_bundle, tone  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

FILES, DISTINCT, SHARD = 600, 30, 10
COMMAND = [sys.executable, "-m", "sercli", "predict"]
CORES_A_NODE = 1
PATIENCE_SECONDS = 300  # of a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores and two nodes with one each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(FILES):
        path = folder / f"{index:04d}.wav"
        if index < DISTINCT:
            soundfile.write(path, tone(rng.uniform(150, 4_000), rng.uniform(1.0, 3.0)), RATE)
        else:
            path.hardlink_to(folder / f"{index % DISTINCT:04d}.wav")
    (folder / "0007.wav").unlink()
    (folder / "0007.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def right(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The bundle, and what one machine says."""
    model = make_bundle(tmp_path_factory.mktemp("model") / "tiny")
    done = subprocess.run(
        [*COMMAND, str(clips), "-m", str(model), "-f", "jsonl", "-q"], capture_output=True, check=False
    )
    assert done.returncode == 3
    return model, done.stdout


def start(cluster: Any, model: Path, clips: object, out: object, *more: str) -> subprocess.Popen[str]:
    options = ["--engine", "ray", "--address", cluster.address, "-m", str(model), "-o", str(out)]
    command = [*COMMAND, str(clips), *options, "--shard-size", str(SHARD), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(out: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(out.glob("part-*.jsonl")))


def wait_for_marks(out: Path, count: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while len(list((out / "done").glob("*.json"))) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_nothing_is_lost_or_doubled_when_a_worker_and_a_node_die(
    cluster: Any, clips: Path, right: tuple[Path, bytes], tmp_path: Path
) -> None:
    import psutil

    model, expected = right
    nodes = [cluster.add_node(num_cpus=CORES_A_NODE) for _ in range(2)]
    running = start(cluster, model, clips, tmp_path / "out")
    wait_for_marks(tmp_path / "out", 3)
    raylet = psutil.Process(nodes[0].all_processes["raylet"][0].process.pid)
    titles = ("ray::_run", "ray::IDLE")
    workers = [child for child in raylet.children(recursive=True) if "".join(child.cmdline()).startswith(titles)]
    assert workers
    for worker in workers:
        worker.kill()
    wait_for_marks(tmp_path / "out", 8)
    cluster.remove_node(nodes[1], allow_graceful=False)
    assert len(list((tmp_path / "out" / "done").glob("*.json"))) < FILES // SHARD  # it died in the middle
    _, err = running.communicate(timeout=PATIENCE_SECONDS)
    cluster.remove_node(nodes[0])
    assert running.returncode == 3, err
    assert rows(tmp_path / "out") == expected
    assert err.splitlines()[-1] == f"{FILES - 1} labelled, 1 failed"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"] == FILES
    assert [mark["number"] for mark in manifest["shards"]] == list(range(FILES // SHARD))


def test_a_killed_driver_is_resumed(cluster: Any, clips: Path, right: tuple[Path, bytes], tmp_path: Path) -> None:
    model, expected = right
    node = cluster.add_node(num_cpus=CORES_A_NODE)
    running = start(cluster, model, clips, tmp_path / "out")
    wait_for_marks(tmp_path / "out", 5)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    finished = len(list((tmp_path / "out" / "done").glob("*.json")))
    assert 5 <= finished < FILES // SHARD
    assert not (tmp_path / "out" / "manifest.json").exists()
    again = start(cluster, model, clips, tmp_path / "out", "--resume")
    _, err = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 3, err
    assert rows(tmp_path / "out") == expected
    assert "done before" in err.splitlines()[-1]
    cluster.remove_node(node)


def test_object_store_in_and_out(
    cluster: Any, clips: Path, right: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 by moto's server on loopback: clips in a bucket, labels back into it."""
    server = pytest.importorskip("moto.server", reason='needs the extra "dev"')
    s3fs = pytest.importorskip("s3fs", reason='needs the extra "scale"')
    moto = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**environment, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(name, value)
    try:
        node = cluster.add_node(num_cpus=CORES_A_NODE)
        store = s3fs.S3FileSystem()
        store.mkdir("speech")
        few = sorted(clips.iterdir())[:25]
        for path in few:
            store.put_file(str(path), f"speech/clips/{path.name}")
        model, expected = right
        running = start(cluster, model, "s3://speech/clips", "s3://speech/labels", "--threads", "4")
        _, err = running.communicate(timeout=PATIENCE_SECONDS)
        assert running.returncode == 3, err
        found = b"".join(store.cat_file(path) for path in sorted(store.glob("speech/labels/part-*.jsonl")))
        here = found.replace(b"s3://speech/clips", str(clips).encode())
        assert here.splitlines() == expected.splitlines()[: len(few)]
        manifest = json.loads(store.cat_file("speech/labels/manifest.json"))
        assert (manifest["rows"], manifest["failed"], len(manifest["shards"])) == (25, 1, 3)
        cluster.remove_node(node)
    finally:
        moto.stop()


def test_wrong_usage(clips: Path, tmp_path: Path) -> None:
    for options, message in (
        (["--engine", "ray"], "needs --output DIR"),
        (["--engine", "ray", "-o", "x", "-f", "csv"], "writes jsonl or parquet"),
        (["--engine", "ray", "-o", str(tmp_path / "x"), "--address", "127.0.0.1:1"], "no Ray cluster at 127.0.0.1:1"),
        (["-o", "s3://bucket/x"], "--output URL needs --engine ray"),
        (["-f", "parquet"], "parquet needs --engine ray"),
        (["--shard-size", "5"], "--shard-size needs --engine ray"),
    ):
        done = subprocess.run([*COMMAND, str(clips), *options], capture_output=True, text=True, check=False)
        assert done.returncode in (1, 2), options
        assert message in done.stderr, options
        assert done.stderr.count("\n") == 1, done.stderr

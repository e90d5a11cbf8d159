"""Everything that can go wrong between here and a Hub: one line, the right exit code, and nothing wrong left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Hub

from sercli.hub.card import CARD
from sercli.hub.entry import LARGEST_FILE
from sercli.hub.find import AGAIN
from sercli.runtime.bundle import BUNDLE_FILES

Sercli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pinned(hub: Hub, bundle: Path) -> str:
    """Reference of a student that lies on the Hub."""
    return published(hub, bundle)


def published(hub: Hub, bundle: Path, **more: bytes) -> str:
    files = {name: (bundle / name).read_bytes() for name in BUNDLE_FILES}
    files[CARD] = b"---\nlicense: cc0-1.0\n---\n"
    return f"hf:serzoo/tiny@{hub.repository('serzoo/tiny').add({**files, **more})}"


def cached_files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "hf").rglob("snapshots/*/*")}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub try again without waiting."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)


def failed(answer: tuple[int, str, str], code: int = 1) -> str:
    """The one error line of a command that failed."""
    assert answer[0] == code, answer
    assert answer[1] == ""
    lines = [line for line in answer[2].splitlines() if line.startswith("sercli: error: ")]
    assert len(lines) == 1, answer[2]
    return lines[0].removeprefix("sercli: error: ")


@pytest.mark.parametrize("command", [("zoo", "pull"), ("predict", "a.wav", "-m")])
def test_no_network(hub: Hub, sercli: Sercli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for reference in ("hf:serzoo/tiny", f"hf:serzoo/tiny@{'a' * 40}"):
        line = failed(sercli(*command, reference))
        assert "http://127.0.0.1:9 cannot be reached (" in line
        assert line.endswith("connect, name a mirror in HF_ENDPOINT, or use what is cached with --offline")


@pytest.mark.parametrize(("silent", "asked"), [("/revision/", "hf:serzoo/tiny"), ("/tree/", "")])
def test_hub_that_never_answers(
    hub: Hub, pinned: str, sercli: Sercli, monkeypatch: pytest.MonkeyPatch, silent: str, asked: str
) -> None:
    monkeypatch.setattr("sercli.hub.trouble.ANSWER_SECONDS", 0.2)
    hub.faults.silent = {silent}
    line = failed(sercli("zoo", "pull", asked or pinned))
    assert f"{hub.endpoint} does not answer; try again later, finished files are kept" in line
    hub.faults.silent = set()
    assert sercli("zoo", "pull", pinned)[0] == 0


def test_branch_without_network_is_what_it_was(
    hub: Hub, bundle: Path, sercli: Sercli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    published(hub, bundle)
    before = sercli("zoo", "pull", "hf:serzoo/tiny")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, out, err = sercli("zoo", "pull", "hf:serzoo/tiny")
    assert (code, out) == (0, before[1])
    assert "hf:serzoo/tiny@main is hf:serzoo/tiny@" in err


def test_offline_and_not_cached(hub: Hub, sercli: Sercli) -> None:
    line = failed(sercli("zoo", "pull", "--offline", "hf:serzoo/tiny"))
    assert line == (
        "hf:serzoo/tiny@main: not in the cache and the Hub was not to be asked; "
        "pull it once with a network: sercli zoo pull hf:serzoo/tiny@main"
    )
    assert hub.requests == []


@pytest.mark.parametrize("token", [True, False])
def test_gated(hub: Hub, pinned: str, sercli: Sercli, monkeypatch: pytest.MonkeyPatch, token: bool) -> None:
    hub.repository("serzoo/tiny").gated = True
    if not token:
        monkeypatch.delenv("HF_TOKEN")
    line = failed(sercli("zoo", "pull", pinned))
    assert line == (
        f"{pinned}: its owner grants access by request; ask for it on {hub.endpoint}/serzoo/tiny, "
        "then `hf auth login`, or set HF_TOKEN"
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf:serzoo/none", "hf:serzoo/none@main: no such repository, or it is private; check the name, or"),
        (f"hf:serzoo/none@{'b' * 40}", "no such repository, or it is private"),
        ("hf:serzoo/tiny@v9", "hf:serzoo/tiny@v9: no such revision; see 'Files and versions' of"),
        (f"hf:serzoo/tiny@{'b' * 40}", "no such revision"),
    ],
)
def test_no_such_repository_or_revision(hub: Hub, pinned: str, sercli: Sercli, reference: str, message: str) -> None:
    assert message in failed(sercli("zoo", "pull", reference), 2)


@pytest.mark.parametrize(
    "reference", ["hf:", "hf:tiny", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a/b@../../c", "hf:a b/c"]
)
def test_what_is_no_reference(hub: Hub, sercli: Sercli, reference: str) -> None:
    assert "names no repository; write hf:OWNER/REPO or hf:OWNER/REPO@REVISION" in failed(
        sercli("zoo", "pull", reference), 2
    )
    assert hub.requests == []


@pytest.mark.parametrize("file", ["model.onnx", "config.json"])
def test_wrong_content_is_removed(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path, file: str) -> None:
    """A file kept apart has a sha256, a small one a git hash; of both, other content of the same length is noticed."""
    hub.faults.altered = {file}
    line = failed(sercli("zoo", "pull", pinned))
    assert f"{pinned}: {file} is not the file that was published" in line
    assert file not in cached_files(tmp_path)
    assert failed(sercli("predict", "a.wav", "-m", pinned)).startswith(f"{pinned}: {file} is not the file")
    hub.faults.altered = set()
    assert sercli("zoo", "pull", pinned)[0] == 0
    assert cached_files(tmp_path) == set(BUNDLE_FILES)


def test_file_altered_in_the_cache(hub: Hub, pinned: str, sercli: Sercli) -> None:
    _, out, _ = sercli("zoo", "pull", pinned)
    graph = Path(out.strip()) / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert failed(sercli("predict", "a.wav", "-m", pinned)).startswith(f"{graph}: not the file that was published")
    code, out, err = sercli("zoo", "verify", pinned)
    assert (code, out) == (1, f"{pinned}  altered: model.onnx  {graph.parent}\n")
    assert "not as published; `sercli zoo pull` brings it again" in err
    code, _, err = sercli("zoo", "pull", pinned)
    assert (code, err) == (0, f"{pinned}: model.onnx not as published; pulled again\n")
    assert sercli("zoo", "verify", pinned)[0] == 0


def test_content_that_repositories_share(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path) -> None:
    """Newer caches keep large contents once, under another hash, and `blobs` links to them."""
    _, out, _ = sercli("zoo", "pull", pinned)
    blob = Path(out.strip()) / "model.onnx"
    blob = blob.parent / blob.readlink()
    shared = tmp_path / "hf" / "hub" / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    content = blob.read_bytes()
    blob.rename(shared)
    blob.symlink_to(shared)
    assert sercli("zoo", "verify", pinned)[:2] == (0, f"{pinned}  ok, 7 files  {out}")
    shared.write_bytes(content + b"\0")
    assert failed(sercli("predict", "a.wav", "-m", pinned)).endswith("not the file that was published; " + AGAIN)
    code, _, err = sercli("zoo", "pull", pinned)
    assert (code, err) == (0, f"{pinned}: model.onnx not as published; pulled again\n")
    assert not shared.exists()
    assert sercli("zoo", "verify", pinned)[0] == 0


@pytest.mark.parametrize("file", ["model.onnx", "metrics.json"])
def test_truncated_download(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path, file: str) -> None:
    hub.faults.short = {file}
    line = failed(sercli("zoo", "pull", pinned))
    assert line == f"{pinned}: the download broke off; run the command again, finished files are kept"
    assert file not in cached_files(tmp_path)


def test_server_that_closes_once_is_resumed(
    hub: Hub, pinned: str, sercli: Sercli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)
    hub.faults.broken_off = {"model.onnx": 1}
    assert sercli("zoo", "pull", pinned)[0] == 0
    assert [text for text in hub.ranges if text.endswith("00-") and text != "bytes=0-"]  # the rest, not the whole
    assert sercli("zoo", "verify", pinned)[0] == 0


def test_server_that_keeps_closing(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path) -> None:
    hub.faults.broken_off = {"model.safetensors": 10_000}
    line = failed(sercli("zoo", "pull", pinned))
    assert line == f"{pinned}: the download broke off; run the command again, finished files are kept"
    assert cached_files(tmp_path) == {"model.onnx", "model.int8.onnx"}  # config.json, the last, says that all are there
    hub.faults.broken_off = {}
    hub.requests.clear()
    assert sercli("zoo", "pull", pinned)[0] == 0
    assert not [path for _, path, _ in hub.requests if path.endswith("model.onnx")]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "disk full in CACHE; free some, or set HF_HOME elsewhere"),
        (errno.EROFS, "CACHE: cannot be written (Read-only file system); check its rights, or set HF_HOME elsewhere"),
        (errno.EACCES, "CACHE: cannot be written (Permission denied); check its rights, or set HF_HOME elsewhere"),
    ],
)
def test_cache_that_cannot_be_written(
    hub: Hub, pinned: str, sercli: Sercli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, message: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "blob"))

    monkeypatch.setattr("huggingface_hub.file_download._download_to_tmp_and_move", refuse)
    assert message.replace("CACHE", str(tmp_path / "hf" / "hub")) in failed(sercli("zoo", "pull", pinned))


def test_cache_that_is_a_file(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path) -> None:
    (tmp_path / "hf").write_text("not a folder")
    assert "cannot be written (" in failed(sercli("zoo", "pull", pinned))


def test_read_only_cache_is_only_read(hub: Hub, pinned: str, sercli: Sercli, tmp_path: Path) -> None:
    sercli("zoo", "pull", pinned)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "hf").rglob("*")}
    assert sercli("zoo", "pull", pinned)[0] == 0
    assert sercli("zoo", "verify", pinned)[0] == 0
    assert sercli("zoo", "info", pinned, "--format", "json")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "hf").rglob("*")} == before


def test_two_processes_pull_at_once(hub: Hub, pinned: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sercli", "zoo", "pull", pinned]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [(process.communicate(timeout=120), process.returncode) for process in both]
    assert [code for _, code in answers] == [0, 0], answers
    assert answers[0][0][0] == answers[1][0][0]
    assert cached_files(tmp_path) == set(BUNDLE_FILES)
    assert not list((tmp_path / "hf").rglob("*.incomplete"))


@pytest.mark.parametrize("path", ["../../.bashrc", "/etc/passwd", "a/../../b", "..\\x", "C:\\x"])
def test_path_that_leaves_the_folder(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path, path: str) -> None:
    reference = published(hub, bundle, **{path: b"x"})
    line = failed(sercli("zoo", "pull", reference))
    assert line == f"{reference}: lists {path!r}, which leaves its folder; do not use this repository"
    assert cached_files(tmp_path) == set()


def test_oversized_file(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    reference = published(hub, bundle)
    files = hub.repository("serzoo/tiny").files(reference.partition("@")[2])
    files["model.onnx"] = replace(files["model.onnx"], claimed_size=LARGEST_FILE + 1)
    assert "model.onnx has 268 MB, but a student's files have 268 MB at most" in failed(
        sercli("zoo", "pull", reference)
    )
    assert cached_files(tmp_path) == set()


def test_pickles_are_ignored_and_said(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    reference = published(hub, bundle, **{"pytorch_model.bin": b"\x80\x04.", "old/optimizer.pt": b"\x80\x04."})
    code, _, err = sercli("zoo", "pull", reference)
    assert code == 0
    assert err == f"{reference}: ignored old/optimizer.pt, pytorch_model.bin: sercli never loads pickles\n"
    assert cached_files(tmp_path) == set(BUNDLE_FILES)


def test_repository_that_is_no_bundle(hub: Hub, sercli: Sercli) -> None:
    sha = hub.repository("serzoo/other").add({"pytorch_model.bin": b"x", "config.json": b"{}"})
    line = failed(sercli("zoo", "pull", f"hf:serzoo/other@{sha}"))
    assert line.endswith("not a student bundle, it has no model.onnx; `sercli export` makes one")


def test_bundle_without_int8_is_cached_whole(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    published(hub, bundle)
    repository = hub.repository("serzoo/tiny")
    files = {name: file for name, file in repository.files(repository.branches["main"]).items() if "int8" not in name}
    reference = f"hf:serzoo/tiny@{repository.commit('main', files, 'no int8')}"
    assert sercli("zoo", "pull", reference)[0] == 0
    hub.requests.clear()
    assert sercli("zoo", "pull", reference)[0] == 0
    assert hub.requests == []
    assert "model.int8.onnx is missing" in failed(sercli("predict", "a.wav", "-m", reference, "--precision", "int8"))


def test_traceback_has_no_token(hub: Hub, pinned: str, child: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    hub.repository("serzoo/tiny").gated = True
    done = child("zoo", "pull", pinned, SERCLI_DEBUG="1")  # `child` looks for it
    assert "Traceback" in done.stderr

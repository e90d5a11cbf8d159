"""`sercli doctor`: healthy here, and each fault is found and comes with the line that mends it."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sercli import doctor
from sercli.cli.main import run
from sercli.doctor import REINSTALL, Check
from sercli.hub import bundled

BAD_HOME = ("SERCLI_CACHE", "HF_HOME", "SERCLI_DATA", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the user's, no torch (seconds to import), no network."""
    for name in BAD_HOME:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_devices", lambda: iter([Check("training", "torch on cpu")]))


def examined(capfd: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    code = run(["doctor", "--format", "json", *options])
    streams = capfd.readouterr()
    report = json.loads(streams.out)
    assert report["healthy"] == (code == 0)
    return code, {check["name"]: check for check in report["checks"]}, streams.err


def named(part: str) -> Check:
    (found,) = [check for check in doctor.checks() if check.name == part]
    return found


def test_a_healthy_installation(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "clips").write_bytes(bytes(12_300))
    code, found, err = examined(capfd)
    assert (code, err) == (0, "")
    assert not [check for check in found.values() if check["status"] == "broken"]
    assert "CPUExecutionProvider" in found["providers"]["found"]
    assert "runs in float32 and int8" in found["student micro"]["found"]
    assert found["cache"]["found"].startswith(f"{tmp_path / 'cache'}: 12.3 kB, ")
    assert f"numpy {metadata.version('numpy')}" in found["packages"]["found"]
    assert {"sercli", "python", "audio files", "microphone", "hub cache", "endpoint", "offline"} <= found.keys()
    assert all(bool(check["mend"]) == (check["status"] != "ok") for check in found.values())


def test_an_altered_student_is_broken(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = next(home for home in bundled._HOMES if home.is_dir()).parent
    shutil.copytree(home / "students", tmp_path / "zoo" / "students")
    shutil.copy(home / "manifest.yaml", tmp_path / "zoo")
    (tmp_path / "zoo" / "students" / "micro" / "model.onnx").write_bytes(b"another")
    monkeypatch.setattr(bundled, "_HOMES", (tmp_path / "zoo" / "students",))
    assert run(["doctor"]) == 1
    streams = capfd.readouterr()
    lines = streams.out.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("broken ")]
    assert "student micro" in lines[place]
    assert "not as published: model.onnx" in lines[place]
    assert lines[place + 1].strip() == f"mend it: {REINSTALL}"
    assert streams.err.count("\n") == 1


def test_no_student_at_all_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = next(home for home in bundled._HOMES if home.is_dir())
    (tmp_path / "students").mkdir()
    shutil.copy(home.parent / "manifest.yaml", tmp_path)
    monkeypatch.setattr(bundled, "_HOMES", (tmp_path / "students",))
    assert (named("students").status, named("students").mend) == ("broken", REINSTALL)


def test_packages_missing_old_and_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    really = metadata.version

    def version(name: str) -> str:
        if name in ("tqdm", "torch"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "soxr" else really(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {check.name: check for check in doctor.checks()}
    assert (found["tqdm"].status, found["tqdm"].found) == ("broken", "not installed")
    assert found["tqdm"].mend.startswith('pip install --force-reinstall "tqdm>=')
    assert found["soxr"].found == "0.1 is installed, sercli needs >=0.5"
    assert found["extra train"].status == "missing"
    assert "torch" in found["extra train"].found
    assert found["extra train"].mend == 'pip install "sercli[train]"'


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        if name == "soxr":
            raise OSError("libsoxr.so:\n cannot open")

    monkeypatch.setattr(doctor, "import_module", refuse)
    assert named("soxr").found.endswith("is installed, but cannot be imported: libsoxr.so: cannot open")


def test_folders_that_are_set_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("SERCLI_DATA", str(tmp_path / "none"))
    assert named("cache").status == named("corpora").status == "broken"
    assert named("cache").mend == "export SERCLI_CACHE=DIR, a folder of yours"


def test_no_network_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert not [check for check in doctor.checks() if check.status == "broken"]


def test_online_asks_the_endpoint(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from huggingface_hub import constants

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            return

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        assert examined(capfd, "--online")[1]["answer"]["found"] == f"{endpoint} answers (HTTP 200)"
        server.shutdown()
    code, found, err = examined(capfd, "--online")  # nobody listens there any more
    assert (code, found["answer"]["status"]) == (1, "broken")
    assert "HF_ENDPOINT" in found["answer"]["mend"]
    assert err.startswith("sercli: error: ")

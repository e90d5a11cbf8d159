"""docs/web: a real student in a real browser says what it says in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import sercli
from sercli.hub.bundled import DEFAULT_MODEL, students
from sercli.runtime.student import Precision
from tests.browser import needs_chromium, report_from

ROOT = Path(__file__).parents[1]
WEB = ROOT / "docs" / "web"
VERSION = "1.30.0"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
PATIENCE_SECONDS = 120
PRECISIONS: dict[Precision, float] = {"float32": 1e-3, "int8": 2e-2}
"""Precision to how far scores may be apart: int8 rounds differently from processor to processor, WebAssembly too."""

SCRIPT = """
  const { decode, load } = await import("./student.js");
  const student = await load("./student"), smaller = await load("./student", "model.int8.onnx");
  report.said = {};
  for (const name of NAMES) {
    const signal = await decode(await (await fetch(name)).arrayBuffer());
    report.said[name] = [await student.predict(signal), await smaller.predict(signal)];
  }
  const transfer = new DataTransfer();
  transfer.items.add(new File([await (await fetch(NAMES[0])).arrayBuffer()], NAMES[0]));
  while (document.getElementById("file").disabled) await wait(20);
  document.getElementById("file").files = transfer.files;
  document.getElementById("file").dispatchEvent(new Event("change"));
  while (!document.querySelector("dl")) await wait(20);
  report.shown = document.getElementById("result").innerText;
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the runtime of the npm registry, the bundled student and some clips."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, which brings onnxruntime-web")
    folder = tmp_path_factory.mktemp("web")
    command = ["npm", "pack", f"onnxruntime-web@{VERSION}", "--silent", "--prefer-offline"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    except (subprocess.SubprocessError, OSError) as problem:
        pytest.skip(f"onnxruntime-web cannot be had from npm ({problem})")
    (folder / "ort").mkdir()
    with tarfile.open(folder / f"onnxruntime-web-{VERSION}.tgz") as archive:
        for name in RUNTIME:
            content = archive.extractfile(f"package/dist/{name}")
            assert content is not None
            (folder / "ort" / name).write_bytes(content.read())
    for name in ("index.html", "student.js"):
        shutil.copy(WEB / name, folder)
    shutil.copytree(students()[DEFAULT_MODEL], folder / "student")
    clip, rate = soundfile.read(ROOT / "tests" / "sample.flac", dtype="float32")
    shutil.copy(ROOT / "tests" / "sample.flac", folder)
    soundfile.write(folder / "short.wav", clip[8_000:10_000], rate)  # shorter than the student's shortest
    long = np.concatenate([clip, np.zeros(11 * rate, np.float32), clip[::-1], 0.3 * clip])  # parts, one of them silent
    soundfile.write(folder / "long.flac", long, rate)
    soundfile.write(folder / "silence.wav", np.zeros(rate, np.float32), rate)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Files, with the type that browsers want of modules, and nothing on stderr."""

    extensions_map = {  # noqa: RUF012 - the base class has it so
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *_: object) -> None:
        return


@needs_chromium
def test_scores_are_those_of_python(site: Path) -> None:
    names = ["sample.flac", "short.wav", "long.flac", "silence.wav"]
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = report_from(site / "index.html", address, SCRIPT.replace("NAMES", json.dumps(names)))
        server.shutdown()
    for place, (precision, apart) in enumerate(PRECISIONS.items()):
        student = sercli.load(DEFAULT_MODEL, precision=precision)
        for name in names:
            said: dict[str, Any] = found["said"][name][place]
            expected = student.predict(sercli.read_audio(site / name), 16_000)
            assert said["label"] == expected.label
            assert said["seconds"] == pytest.approx(expected.end)
            assert said["scores"] == pytest.approx(expected.scores, abs=apart), (precision, name)
    assert found["said"]["silence.wav"][0]["label"] == ""
    first = found["said"]["sample.flac"][0]
    assert found["shown"].startswith(f"{first['label']} {first['score']:.2f}, 4.2 s")

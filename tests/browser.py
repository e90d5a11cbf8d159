"""A headless Chromium that opens a page, runs a script in it and brings back what the script reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt install chromium)")
PATIENCE_SECONDS = 90
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run"),
    "--autoplay-policy=no-user-gesture-required",  # a script's click is no gesture of a user
)
REPORT = """
<script>
const report = {{}}, wait = (ms) => new Promise((done) => setTimeout(done, ms));
const send = (text) => fetch("{address}", {{ method: "POST", mode: "no-cors", body: text }});
addEventListener("error", (event) => {{ report.error = String(event.message); }});
(async () => {{
  try {{ {script} }} catch (problem) {{ report.error = String(problem); }}
  send(JSON.stringify(report));
}})();
</script>
"""


def report_of(page: Path, script: str, width: int = 1_200) -> dict[str, Any]:
    """Open a copy of a page from file:// in a frame of some width (pixels), and run a script in it.

    Args:
        page: an HTML file; what it refers to must lie beside it
        script: JavaScript that may await, and fills the object `report`
    """
    return report_from(page, page.parent.as_uri(), script, width)


def report_from(page: Path, address: str, script: str, width: int = 1_200) -> dict[str, Any]:
    """Do as `report_of`, with the page's folder at an address."""
    arrived: list[str] = []
    there = threading.Event()

    class Mailbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8"))
            self.send_response(204)
            self.end_headers()
            there.set()

        def log_message(self, format: str, *_: object) -> None:
            return

    profile, log = page.parent / "chromium", page.parent / "chromium.log"
    with HTTPServer(("127.0.0.1", 0), Mailbox) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # The page's own policy lets nothing out, a report included: only the copy is without it.
        text = page.read_text(encoding="utf-8").replace("Content-Security-Policy", "X-Not-In-The-Test")
        reporting, frame = (page.with_name(f"{page.stem}-{kind}.html") for kind in ("reporting", "frame"))
        mailbox = f"http://127.0.0.1:{server.server_port}/"
        reporting.write_text(text + REPORT.format(address=mailbox, script=script), encoding="utf-8")
        style = f"width: {width}px; height: 800px; border: 0"
        frame.write_text(f'<iframe src="{reporting.name}" allow="autoplay" style="{style}"></iframe>', encoding="utf-8")
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", f"{address}/{frame.name}"]
        environment = {**os.environ, "HOME": str(profile)}
        with log.open("wb") as errors, subprocess.Popen(command, stdout=errors, stderr=errors, env=environment) as run:
            there.wait(PATIENCE_SECONDS)
            run.terminate()
        server.shutdown()
    assert arrived, log.read_text(errors="replace")[-2_000:]
    found: dict[str, Any] = json.loads(arrived[0])
    assert "error" not in found, found["error"]
    return found

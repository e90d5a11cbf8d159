"""`sercli predict --report`: one page that needs nothing else, read by Python and used in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sercli.cli.main import run
from sercli.runtime.page import MOST_PEAKS, clock, hear
from tests.browser import needs_chromium, report_of
from tests.tiny import LABELS, RATE, tone

Make = Callable[..., Path]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four seconds sad, four silent, four angry; its name is neither HTML nor a mark of the template."""
    file = tmp_path / "a <b>{{data}} & 'c'.wav"
    soundfile.write(file, np.concatenate([tone(200, 4), np.zeros(4 * RATE, np.float32), tone(3_000, 4)]), RATE)
    return file


@pytest.fixture
def make(tiny_bundle: Path, recording: Path, tmp_path: Path) -> Make:
    def call(*options: str) -> Path:
        page = tmp_path / "page.html"
        assert (
            run(["predict", str(recording), "-m", str(tiny_bundle), "--report", str(page), "--overwrite", *options])
            == 0
        )
        return page

    return call


def part(page: Path, name: str) -> str:
    """The text of one of the page's data scripts."""
    (found,) = re.findall(
        rf'<script type="[^"]+" id="{name}">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL
    )
    return str(found)


def test_the_page_holds_what_was_heard(make: Make, recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = make("--format", "jsonl")
    streams = capfd.readouterr()
    rows = [json.loads(line) for line in streams.out.splitlines()]
    assert len(rows) == 23  # the rows of --timeline, as ever: 1-s windows every half second
    assert re.fullmatch(rf"{re.escape(str(page))}: a page to open in a browser, 0\.\d\d MB\n", streams.err)
    data: dict[str, Any] = json.loads(part(page, "data"))
    assert data["classes"] == LABELS
    assert [label for _, _, label, _ in data["segments"]] == ["sad", "", "angry"]
    assert data["segments"][0][0] == 0
    assert data["segments"][-1][1] == data["seconds"] == 12
    for row, (start, end, label, score, scores) in zip(rows, data["windows"], strict=True):
        assert row["start"] <= start < end <= row["end"]  # the stretch that the window stands for
        assert (label, score) == (row["label"] or "", pytest.approx(row["score"] or 0, abs=6e-4))
        assert scores == pytest.approx(list(row["scores"].values()), abs=6e-4)


def test_the_page_holds_the_sound(make: Make, recording: Path) -> None:
    page = make()
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(part(page, "sound"))), dtype="float32")
    original, _ = soundfile.read(recording, dtype="float32")
    assert rate == RATE
    assert len(heard) == pytest.approx(len(original), abs=0.1 * RATE)
    length = min(len(heard), len(original))
    assert np.corrcoef(heard[:length], original[:length])[0, 1] > 0.99
    data = json.loads(part(page, "data"))
    peaks = np.frombuffer(base64.b64decode(data["peaks"]), np.uint8)
    assert len(peaks) * data["step"] == pytest.approx(12, abs=0.02)
    loud, quiet = peaks[:400], peaks[400:800]
    assert np.median(loud) == pytest.approx(0.3 * 255, abs=2)
    assert quiet[5:-5].max() == 0


def test_the_page_needs_nothing_else_and_takes_a_name_for_a_name(make: Make, recording: Path) -> None:
    tags: list[tuple[str, dict[str, str | None]]] = []
    shown: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

        def handle_data(self, data: str) -> None:
            shown.append(data.strip())

    page = make()
    Reader().feed(page.read_text(encoding="utf-8"))
    addresses = [value or "" for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses == ["data:,"]
    assert not re.search(r"https?://|@import|url\(", page.read_text(encoding="utf-8"))
    assert shown.count(recording.name) == 2  # title and heading
    names = {tag for tag, _ in tags}
    assert {"main", "h1", "table", "th", "button", "footer"} <= names
    assert all(attributes.get("type") == "button" for tag, attributes in tags if tag == "button")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "--report reads its recording twice"),
        (["{recording}", "{recording}"], "--report is a page of one recording"),
        (["{folder}"], "--report is a page of one recording"),
        (["{recording}", "--format", "srt"], "--report needs every window as a row; leave out srt"),
        (["{recording}", "--resume", "--output", "x.csv"], "--report needs every window as a row; leave out --resume"),
    ],
)
def test_what_no_page_can_be_made_of(
    arguments: list[str], message: str, recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    filled = [text.format(recording=recording, folder=tmp_path) for text in arguments]
    assert run(["predict", *filled, "--report", str(tmp_path / "page.html")]) == 2
    assert capfd.readouterr().err.startswith(f"sercli: error: {message}")


def test_what_is_there_is_kept(recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    page.write_text("my thesis")
    assert run(["predict", str(recording), "--report", str(page)]) == 1
    streams = capfd.readouterr()
    assert (streams.out, page.read_text()) == ("", "my thesis")
    assert "already exists; use --overwrite" in streams.err
    assert run(["predict", str(recording), "--report", str(tmp_path / "none" / "page.html")]) == 1
    before = recording.read_bytes()
    assert run(["predict", str(recording), "--report", str(recording), "--overwrite"]) == 1
    assert recording.read_bytes() == before


def test_a_recording_that_cannot_be_read_makes_no_page(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "broken.wav").write_text("this is text")
    page = tmp_path / "page.html"
    assert run(["predict", str(tmp_path / "broken.wav"), "-m", str(tiny_bundle), "--report", str(page)]) == 1
    assert not page.exists()


def test_a_long_recording_has_no_more_peaks_than_a_screen_shows() -> None:
    quarter = np.full(15 * 60 * RATE // 100, 0.5, np.float32)
    sound = hear(quarter for _ in range(100))  # 15 minutes
    assert sound.seconds == 900
    assert len(sound.peaks) <= MOST_PEAKS
    assert len(sound.peaks) * sound.step == pytest.approx(900, abs=0.1)
    assert set(sound.peaks[:-1].tolist()) == {128}


def test_times_are_written_for_people() -> None:
    assert [clock(seconds) for seconds in (0, 59.999, 61, 3_723.5)] == ["0:00", "0:59", "1:01", "1:02:03"]
    assert [clock(seconds, tenths=True) for seconds in (0.25, 0.3, 61)] == ["0:00.2", "0:00.3", "1:01.0"]


USE = """
  const press = (key, more) =>
    chart.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  const at = () => Math.round(audio.currentTime * 10) / 10;
  while (!(audio.duration > 0)) await wait(20);
  report.seconds = audio.duration;
  report.wide = document.documentElement.scrollWidth - innerWidth;
  report.rows = rows.map((row) => row.cells[2].innerText.trim());
  const pixels = new Set(), seen = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 0; at < seen.length; at += 4)
    pixels.add("#" + [0, 1, 2].map((one) => seen[at + one].toString(16).padStart(2, "0")).join("").toUpperCase());
  report.drawn = data.classes.filter((name) => pixels.has(data.colours[name]));

  rows[2].querySelector("button").click();
  report.clicked = at();
  for (let tries = 0; tries < 200 && audio.currentTime < data.segments[2][0] + .2; tries++) await wait(20);
  report.plays = !audio.paused && audio.currentTime > data.segments[2][0] + .1;
  report.says = [play.getAttribute("aria-label"), element("now").innerText, rows[2].getAttribute("aria-current")];
  chart.focus(); report.focus = document.activeElement === chart;
  press(" "); report.paused = audio.paused;
  press("Home"); press("ArrowRight"); report.right = at();
  press("ArrowRight", { shiftKey: true }); report.shifted = at();
  press("ArrowLeft"); report.left = at();
  press("Home"); report.home = [at(), chart.getAttribute("aria-valuetext")];
  press("+"); report.zoomed = shown; element("all").click(); report.whole = shown;
  const box = chart.getBoundingClientRect(), middle = box.left + left() + (box.width - left()) / 2;
  chart.dispatchEvent(new MouseEvent("click", { clientX: middle, clientY: box.top + 9, bubbles: true }));
  report.middle = at(); audio.pause();
"""


@needs_chromium
def test_the_page_in_a_browser(make: Make) -> None:
    """From file://, as narrow as a phone, by mouse and by keyboard."""
    found = report_of(make(), USE, width=360)
    assert found["seconds"] == pytest.approx(12, abs=0.1)
    assert found["wide"] <= 0  # nothing to scroll sideways
    assert found["rows"] == ["sad", "silence", "angry"]
    assert set(found["drawn"]) >= {"sad", "angry"}
    assert found["clicked"] == pytest.approx(8, abs=0.6)
    assert found["plays"]
    assert found["says"] == ["Pause", "angry 0.98", "true"]
    assert (found["focus"], found["paused"]) == (True, True)
    assert (found["right"], found["shifted"], found["left"], found["home"][0]) == (1, 11, 10, 0)
    assert found["home"][1] == "0:00, sad 1.00"
    assert (found["zoomed"], found["whole"]) == (6, 12)
    assert found["middle"] == pytest.approx(6, abs=0.1)

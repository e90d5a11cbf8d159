"""The cost model's arithmetic, on numbers that can be done in the head."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.bench import cost, peers
from tests.bench.cost import Plan, costs

PLAN = Plan(
    clips=3_600_000,
    clip_seconds=4.0,
    clip_bytes=50_000,
    price=0.05,
    cores=10,
    core_bits=1e9,
    efficiency=0.5,
    shard=1_000,
    requests_price=0.4,
)


def test_costs_of_a_plan() -> None:
    found = costs(PLAN, factor=1_000, decoding=4_000)
    assert found.audio_hours == 4_000
    assert found.core_hours == pytest.approx(8)  # 4,000 h at 1000 x 0.5
    assert found.hours == pytest.approx(0.8)
    assert found.euros == pytest.approx(0.4)
    assert found.euros_a_million_hours == pytest.approx(100)
    assert found.clips_a_core_hour == pytest.approx(450_000)
    assert found.clips_a_core_hour * found.core_hours == pytest.approx(PLAN.clips)
    assert found.terabytes == pytest.approx(0.18)
    assert found.needed_bits == pytest.approx(50e6)  # 100 kbit a second of audio, 500 of those a second
    assert found.shards == 3_600
    assert found.request_euros == pytest.approx(1.44)


def test_where_the_bottleneck_moves() -> None:
    assert costs(PLAN, 1_000, 4_000).bottleneck == "the network of the student"
    assert costs(PLAN, 1_000, 1_100).bottleneck == "decoding"
    slow = costs(replace(PLAN, core_bits=5e6), 1_000, 4_000)
    assert slow.bottleneck == "the cores' network link"
    assert slow.core_hours == pytest.approx(80)  # ten times as long as the link is too small


def test_report_reads_what_the_bench_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [peers.Row(name, 0.5, 0.4, 90.0, rate, rate, 100.0) for name, rate in (("decoding", 4e3), ("sercli", 800.0))]
    (tmp_path / "peers.json").write_text(json.dumps([asdict(row) for row in rows]))
    page = tmp_path / "page.md"
    page.write_text(f"# Scale\n{cost.BEGIN}\nnot yet\n{cost.END}\nafter\n")
    cost.main(["--measured", str(tmp_path / "peers.json"), "--price", "0.04", "--page", str(page)])
    out = capsys.readouterr().out
    assert out in page.read_text()
    assert page.read_text().startswith("# Scale\n")
    assert page.read_text().endswith("\nafter\n")
    assert "not yet" not in page.read_text()
    assert "| sercli | 0.50 | 0.40 | 90 | 800 x | 800 x | 100 |" in out
    assert "| core-hours | 1,302 | audio / (factor x 0.8) |" in out
    assert "| cores | 52 EUR | at 0.04 EUR per core-hour |" in out


def test_installed_size_follows_what_packages_need() -> None:
    alone, more = peers.install_megabytes(["numpy"]), peers.install_megabytes(["soundfile", "numpy"])
    assert 5 < alone < more
    assert peers.install_megabytes(["no-such-package"]) == 0

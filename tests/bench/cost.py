"""What labelling costs: `python -m tests.bench.cost --price EUR [--measured PEERS.json] [--page PAGE.md] ...`.

It measures as `tests.bench.peers` does, or reads what that wrote with --json on a machine of the kind that will do the
work. Everything else is arithmetic, printed with its formula, so that a figure can be checked and a price exchanged.
--page puts both tables between the two marks of a page such as docs/SCALE.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sercli import __version__
from sercli.hub.bundled import DEFAULT_MODEL
from tests.bench import peers

SECONDS_AN_HOUR = 3_600
HOURS_A_DAY = 24
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Plan:
    """A job, and what is paid for."""

    clips: int
    clip_seconds: float
    """mean length"""
    clip_bytes: float
    """mean size of a file"""
    price: float
    """euros an hour of one core"""
    cores: int
    core_bits: float
    """network per core, bit/s"""
    efficiency: float
    """share of a core's time that labels: the rest is listing, starting, the last shards and retries"""
    shard: int
    """clips a shard"""
    requests_price: float
    """euros for a million reads from the object store"""


@dataclass(frozen=True)
class Costs:
    """What it comes to."""

    audio_hours: float
    core_hours: float
    hours: float
    """on all cores"""
    euros: float
    """of cores"""
    request_euros: float
    euros_a_million_hours: float
    """of audio, of cores"""
    clips_a_core_hour: float
    terabytes: float
    needed_bits: float
    """a core must read, bit/s, so as not to wait"""
    shards: int
    bottleneck: str


def costs(plan: Plan, factor: float, decoding: float) -> Costs:
    """Do the arithmetic.

    Args:
        plan: the job
        factor: seconds of audio that a core labels a second, decoding included
        decoding: seconds of audio that a core decodes a second
    """
    real = factor * plan.efficiency
    needed = plan.clip_bytes * 8 / plan.clip_seconds * real
    waits = max(1.0, needed / plan.core_bits)  # a core that waits for its network is slower by as much
    audio = plan.clips * plan.clip_seconds / SECONDS_AN_HOUR
    core_hours = audio / real * waits
    share = factor / decoding
    compute = "decoding" if share > 0.5 else "the network of the student"
    return Costs(
        audio_hours=audio,
        core_hours=core_hours,
        hours=core_hours / plan.cores,
        euros=core_hours * plan.price,
        request_euros=plan.clips / 1e6 * plan.requests_price,
        euros_a_million_hours=1e6 / real * waits * plan.price,
        clips_a_core_hour=real / waits / plan.clip_seconds * SECONDS_AN_HOUR,
        terabytes=plan.clips * plan.clip_bytes / 1e12,
        needed_bits=needed,
        shards=-(-plan.clips // plan.shard),
        bottleneck="the cores' network link" if waits > 1 else compute,
    )


def report(plan: Plan, factor: float, decoding: float) -> str:
    """Print a plan's costs in Markdown, each with its formula."""
    found = costs(plan, factor, decoding)
    rows = [
        ("labelling, per core", f"{factor:,.0f} x real time", "measured"),
        ("decoding alone, per core", f"{decoding:,.0f} x real time", "measured"),
        ("audio", f"{found.audio_hours:,.0f} h", f"{plan.clips:,} clips x {plan.clip_seconds:g} s"),
        ("clips per core-hour", f"{found.clips_a_core_hour:,.0f}", "factor x efficiency / clip length x 3600"),
        ("core-hours", f"{found.core_hours:,.0f}", f"audio / (factor x {plan.efficiency:g})"),
        ("wall time", f"{found.hours / HOURS_A_DAY:,.2f} days", f"on {plan.cores:,} cores"),
        ("cores", f"{found.euros:,.0f} EUR", f"at {plan.price:g} EUR per core-hour"),
        ("per million hours of audio", f"{found.euros_a_million_hours:,.0f} EUR", "cores alone"),
        ("reads", f"{found.request_euros:,.0f} EUR", f"at {plan.requests_price:g} EUR per million"),
        ("data", f"{found.terabytes:,.1f} TB", f"{plan.clip_bytes / 1e3:,.0f} kB a clip"),
        ("network per core", f"{found.needed_bits / 1e6:,.0f} Mbit/s", f"{plan.core_bits / 1e6:,.0f} available"),
        ("shards", f"{found.shards:,}", f"{plan.shard:,} clips each"),
        ("bottleneck", found.bottleneck, ""),
    ]
    lines = ["| what | value | how |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the costs of a plan."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost", description=__doc__.partition(":")[0])
    parser.add_argument("--measured", type=Path, metavar="PEERS.json", help="instead of measuring now")
    parser.add_argument("--page", type=Path, help="put the tables there")
    parser.add_argument("--peer", default="sercli", help="row that does the work")
    parser.add_argument("--clips", type=int, default=1_000_000_000)
    parser.add_argument("--clip-seconds", type=float, default=3.0)
    parser.add_argument(
        "--clip-bytes", type=float, default=50_000.0, help="FLAC of speech at 16 kHz: about half of PCM"
    )
    parser.add_argument("--price", type=float, required=True, help="euros per core-hour")
    parser.add_argument("--cores", type=int, default=256)
    parser.add_argument("--core-mbits", type=float, default=250.0, help="network per core")
    parser.add_argument("--efficiency", type=float, default=0.8)
    parser.add_argument("--shard", type=int, default=4_000)
    parser.add_argument("--requests-price", type=float, default=0.0, help="euros per million reads")
    options = parser.parse_args(arguments)
    if options.measured is None:
        with tempfile.TemporaryDirectory() as scratch:
            found = peers.rows(Path(scratch), DEFAULT_MODEL, repeats=3)
    else:
        found = [peers.Row(**row) for row in json.loads(options.measured.read_text(encoding="utf-8"))]
    rows = {row.name: row for row in found}
    if options.peer not in rows:
        parser.error(f"--peer {options.peer}: none of {', '.join(rows)}")
    plan = Plan(
        clips=options.clips,
        clip_seconds=options.clip_seconds,
        clip_bytes=options.clip_bytes,
        price=options.price,
        cores=options.cores,
        core_bits=options.core_mbits * 1e6,
        efficiency=options.efficiency,
        shard=options.shard,
        requests_price=options.requests_price,
    )
    factor, decoding = rows[options.peer].cpu_factor, rows["decoding"].cpu_factor
    assert factor is not None
    assert decoding is not None
    text = f"{peers.markdown(found)}\n\n{report(plan, factor, decoding)}"
    print(text)
    if options.page is not None:
        options.page.write_text(filled(options.page.read_text(encoding="utf-8"), text), encoding="utf-8")


def filled(page: str, tables: str) -> str:
    """Put tables between the marks of a page.

    Raises:
        ValueError: it does not have them
    """
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} with an {END} after it")
    machine = f"Measured on {cpu_name()}, one thread, sercli {__version__}."
    return f"{before}{BEGIN}\n{machine}\n\n{tables}\n{END}{after}"


def cpu_name() -> str:
    """Name the processor."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

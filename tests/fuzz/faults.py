"""Kill commands at random moments until they are done: `python -m tests.fuzz.faults [SCENARIO...] [--kills N]`.

Each scenario runs its command undisturbed once, which gives the right result and the time that it takes. Then the
command is started again and again and ended by SIGKILL, at a moment that is uniform over that time, until one start
comes to its end; the result must be the right one to the byte, nothing lost and nothing doubled. So on until N kills
have hit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
for room in ("hub", "training"):  # whose helpers have names of their own, as pytest imports them
    sys.path.append(str(ROOT / "tests" / room))

from hub_bundle import complete  # noqa: E402
from hub_server import TOKEN, Hub  # noqa: E402
from voices import TINY, write_corpus  # noqa: E402

from tests.tiny import RATE, make_bundle, tone  # noqa: E402

SERCLI = [sys.executable, "-m", "sercli"]
FILES = 300  # of the folder that is labelled
CLIPS = 60  # of the cache that is filled
FILL = """
import sys, time
from pathlib import Path
import numpy as np
from sercli.corpora.table import Utterance
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill

cache = TeacherCache(CacheKey("lab/tiny", "ab" * 32, {"layers": [1]}), Path(sys.argv[2]))
def run(clip):
    time.sleep(0.003)
    return {"frames": np.arange(len(clip) // 320 * 64).reshape(-1, 64) % 99}
fill(cache, [Utterance(str(path)) for path in sorted(Path(sys.argv[1]).glob("*.wav"))], run, quiet=True)
"""


@dataclass(frozen=True)
class Scenario:
    """A command, and how to tell that it has done its work once."""

    command: Sequence[str]
    clear: Callable[[], None]
    """undo all of it"""
    result: Callable[[], object]
    """what it left, to compare; fails where something is lost or doubled"""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endured:
    """What a scenario went through."""

    kills: int
    completions: int
    """starts that came to their end, each with the right result"""


def endure(scenario: Scenario, kills: int, seed: int = 0) -> Endured:
    """Kill a command so many times, and compare what is there whenever it has come to its end.

    Raises:
        AssertionError: another result than without kills
    """
    rng = random.Random(seed)
    begin = time.monotonic()
    assert _run(scenario, None) == 0
    seconds = time.monotonic() - begin
    right = scenario.result()
    scenario.clear()
    killed = completions = 0
    while killed < kills or not completions:
        moment = rng.uniform(0.0, seconds) if killed < kills else None
        if _run(scenario, moment) is None:
            killed += 1
            continue
        found = scenario.result()
        assert found == right, f"after {killed} kills: {found!r} instead of {right!r}"[:2_000]
        completions += 1
        scenario.clear()
    return Endured(killed, completions)


def _run(scenario: Scenario, moment: float | None) -> int | None:
    """Start the command; returns its exit code, or None if it was killed at that moment, in seconds."""
    process = subprocess.Popen(
        scenario.command,
        env={**os.environ, **scenario.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the processes that it starts die with it
    )
    try:
        return process.wait(moment)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _audio(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        soundfile.write(folder / f"{index:04d}.wav", tone(rng.uniform(150, 4_000), rng.uniform(0.2, 2.0)), RATE)
    return folder


@contextmanager
def predict(scratch: Path) -> Iterator[Scenario]:
    """`predict --resume`: every file has its row, once, in order."""
    model, target = make_bundle(scratch / "tiny"), scratch / "out.csv"
    command = [*SERCLI, "predict", str(_audio(scratch / "clips", FILES)), "-m", str(model), "-o", str(target), "-q"]
    yield Scenario([*command, "--resume"], lambda: target.unlink(missing_ok=True), target.read_text)


@contextmanager
def cache(scratch: Path) -> Iterator[Scenario]:
    """Filling a teacher cache: every clip has its outputs, entered once."""
    from sercli.training.teacher_cache import CacheKey, TeacherCache, read_index

    folder = scratch / "cache"

    def result() -> dict[str, int]:
        found = TeacherCache(CacheKey("lab/tiny", "ab" * 32, {"layers": [1]}), folder)
        assert not found.verify()
        lines = [entry for index in found.folder.glob("*.jsonl") for entry in read_index(index)[0]]
        assert len(lines) == len(set(lines)) == CLIPS, f"{len(lines)} lines of {len(set(lines))} clips"
        return {digest: int(found[digest]["frames"].sum(dtype=np.int64)) for digest in sorted(lines)}

    def clear() -> None:
        shutil.rmtree(folder)

    yield Scenario([sys.executable, "-c", FILL, str(_audio(scratch / "clips", CLIPS)), str(folder)], clear, result)


@contextmanager
def _hub(scratch: Path) -> Iterator[tuple[Hub, Path, dict[str, str]]]:
    bundle = complete(make_bundle(scratch / "tiny"))
    with Hub() as hub:
        hub.repository("serzoo/tiny")
        yield (
            hub,
            bundle,
            {
                "HF_ENDPOINT": hub.endpoint,
                "HF_HOME": str(scratch / "home"),
                "HF_TOKEN": TOKEN,
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
            },
        )


@contextmanager
def push(scratch: Path) -> Iterator[Scenario]:
    """`zoo push`: one commit with all files, and its tag."""
    with _hub(scratch) as (hub, bundle, environment):

        def result() -> dict[str, str]:
            repository = hub.repositories["serzoo/tiny"]
            with_files = [commit for commit in repository.commits.values() if "model.onnx" in commit.files]
            assert len(with_files) == 1, f"{len(with_files)} commits"
            assert repository.tags["v1"] == repository.branches["main"]
            return {path: file.blob for path, file in with_files[0].files.items()}

        command = [*SERCLI, "zoo", "push", str(bundle), "--to", "serzoo/tiny", "--tag", "v1"]
        yield Scenario(command, hub.repositories.clear, result, environment)


@contextmanager
def pull(scratch: Path) -> Iterator[Scenario]:
    """`zoo pull`: every file whole and as published, at its first use after the kill."""
    with _hub(scratch) as (_, bundle, environment):
        command = [*SERCLI, "zoo", "push", str(bundle), "--to", "serzoo/tiny"]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
        home = scratch / "home"

        def result() -> dict[str, bytes]:
            (folder,) = home.glob("hub/models--serzoo--tiny/snapshots/*")
            return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

        command = [*SERCLI, "zoo", "pull", "hf:serzoo/tiny@main"]
        yield Scenario(command, lambda: shutil.rmtree(home, ignore_errors=True), result, environment)


@contextmanager
def distill(scratch: Path) -> Iterator[Scenario]:
    """`distill --resume`: the weights and the history that an undisturbed run ends with."""
    import torch
    import transformers

    from tests.tiny_encoders import WAVEFORM

    torch.manual_seed(0)
    encoder, run = scratch / "encoder", scratch / "run"
    transformers.HubertModel(transformers.HubertConfig(**WAVEFORM)).save_pretrained(encoder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(encoder)  # type: ignore[no-untyped-call]
    recipe = scratch / "tiny.yaml"
    text = TINY.format(table=write_corpus(scratch / "voices")).replace("mixup_alpha: 0.3", "mixup_alpha: 0")
    teacher = f"teacher: {{encoders: [{{name: {encoder}, layers: [1, 3]}}], groups: 2}}\n"
    recipe.write_text(f"{text}{teacher}method: [ce, kd, pooled]\n", encoding="utf-8")

    def result() -> tuple[bytes, list[dict[str, float]]]:
        history = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["history"]
        timeless = [
            {key: value for key, value in entry.items() if not key.endswith(("runtime", "per_second"))}
            for entry in history
        ]
        return (run / "model.safetensors").read_bytes(), timeless

    def clear() -> None:
        shutil.rmtree(run, ignore_errors=True)

    command = [*SERCLI, "distill", str(recipe), "-o", str(run), "-q", "--resume"]
    yield Scenario(command, clear, result, {"SERCLI_CACHE": str(scratch / "cache")})


SCENARIOS = {"predict": predict, "cache": cache, "pull": pull, "push": push, "distill": distill}
"""Name to what makes it in a scratch folder."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.faults", description=__doc__.partition(":")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--kills", type=int, default=100, help="of each scenario")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"{', '.join(unknown)}: none of {', '.join(SCENARIOS)}")
    for name in options.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder, SCENARIOS[name](Path(folder)) as scenario:
            endured = endure(scenario, options.kills, options.seed)
        print(f"{name}: {endured.kills} kills, {endured.completions} completions, every result exact", flush=True)


if __name__ == "__main__":
    main()

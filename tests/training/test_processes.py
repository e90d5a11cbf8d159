"""Two processes train as one does: the same loss curve, the same checkpoints, one set of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason='needs the extra "train"')
pytest.importorskip("transformers", reason='needs the extra "train"')

from sercli.errors import RecipeError  # noqa: E402
from sercli.training import processes  # noqa: E402
from sercli.training.global_norm import GlobalBatchNorm, with_global_norms  # noqa: E402
from sercli.training.recipe import Recipe  # noqa: E402
from sercli.training.recipe_file import load_recipe  # noqa: E402

LOSS_TOLERANCE = 1e-3
"""Relative, of an epoch's loss. Sums of float32 in another order differ by 1e-6, and Adam makes whole steps of what is
left of gradients that are zero but for that; so the difference grows with steps and learning rate."""
EPOCHS = 3


def sercli(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "sercli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SERCLI_DEBUG": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def recipe(corpus: Path) -> Path:
    """The tiny recipe without what torch draws at random for a whole batch; clips of one length, so that all pad alike.

    36 training clips make 6 batches of 6, or of 3 in each of two processes.
    """
    for clip in (corpus.parent / "voices").glob("*.wav"):
        soundfile.write(clip, np.resize(soundfile.read(clip)[0], 9_600), 16_000)
    text = corpus.read_text(encoding="utf-8")
    text = text.replace("mixup_alpha: 0.3, mel_shift: 1", "mixup_alpha: 0, mel_shift: 0, time_masks: 0, mel_masks: 0")
    text = (
        text.replace("embedding: 8,", "embedding: 8, dropout: 0,")
        .replace("speed: 0.1, gain_db: 6", "speed: 0, gain_db: 0, trim_seconds: 0")
        .replace("epochs: 8", f"epochs: {EPOCHS}")
        .replace("lr: 1e-2", "lr: 1e-3")
    )
    corpus.write_text(text, encoding="utf-8")
    return corpus


def losses(run: Path) -> list[float]:
    history: list[dict[str, Any]] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["history"]
    return [entry["loss"] for entry in history]


def test_two_processes_learn_what_one_does(recipe: Path, tmp_path: Path) -> None:
    one, two, resumed = (tmp_path / name for name in ("one", "two", "resumed"))
    for count, folder in ((1, one), (2, two)):
        done = sercli(count, "train", recipe, "-o", folder, "-q")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("development UA") == 1  # one process tells
    assert losses(two) == pytest.approx(losses(one), rel=LOSS_TOLERANCE)
    figures = [json.loads((folder / "metrics.json").read_text())["dev"]["ua"] for folder in (one, two)]
    assert figures[1] == pytest.approx(figures[0], abs=100 / 18)  # one clip of the 18
    assert not list(tmp_path.rglob("*.part"))

    # a run of two processes that was cut short after its second epoch goes on in one
    two.rename(resumed)
    for name in ("checkpoint.json", "metrics.json", "model.safetensors"):
        (resumed / name).unlink()
    last = max(resumed.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for file in sorted(last.iterdir()):
        file.unlink()
    last.rmdir()
    done = sercli(1, "train", recipe, "-o", resumed, "-q", "--resume")
    assert done.returncode == 0, done.stderr
    assert losses(resumed) == pytest.approx(losses(one), rel=LOSS_TOLERANCE)


def test_global_norm_is_batch_norm_where_there_is_one_process(tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        for norm, shape in ((torch.nn.BatchNorm2d(5), (4, 5, 6, 7)), (torch.nn.BatchNorm1d(5, momentum=None), (9, 5))):
            torch.nn.init.normal_(norm.weight)
            other = GlobalBatchNorm.of(norm)
            values = torch.randn(shape) * 3 + 1
            for _ in range(2):
                one, two = (values.clone().requires_grad_() for _ in range(2))
                right, found = norm(one), other(two)
                assert torch.allclose(found, right, atol=1e-5)
                right.pow(3).sum().backward()
                found.pow(3).sum().backward()
                assert torch.allclose(two.grad, one.grad, rtol=1e-3, atol=1e-3)
            for name, value in norm.state_dict().items():
                assert torch.allclose(other.state_dict()[name].float(), value.float(), atol=1e-5), name
            assert torch.allclose(other.eval()(values), norm.eval()(values), atol=1e-5)
    finally:
        torch.distributed.destroy_process_group()


def test_every_norm_is_replaced_under_its_name() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Sequential(torch.nn.BatchNorm2d(2)))
    before = network.state_dict().keys()
    with_global_norms(network)
    assert [type(module) for module in network[1]] == [GlobalBatchNorm]
    assert network.state_dict().keys() == before


def test_what_several_processes_cannot_do_is_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes.share(8) == 2
    with pytest.raises(RecipeError, match=r"optim\.batch: 6 clips cannot be shared out evenly among 4 processes"):
        processes.share(6)
    processes.check(load_recipe(recipe))
    with pytest.raises(RecipeError, match="encoder: is trained by one process"):
        processes.check(load_recipe(Path(__file__).parents[2] / "zoo" / "recipes" / "teacher-ravdess.yaml"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    processes.check(Recipe())
    assert processes.mean({"ce": 2.0}) == {"ce": 2.0}


FILL = """
import sys, time
from pathlib import Path
import numpy as np
from sercli.corpora.table import Utterance
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill

def run(clip):
    time.sleep(0.02)
    return {"pooled": np.full((2, 8), len(clip))}
cache = TeacherCache(CacheKey("lab/tiny", "ab" * 32, {}), Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print(fill(cache, [Utterance(str(path)) for path in sorted(Path(sys.argv[1]).glob("*.wav"))], run, quiet=True).computed)
"""


def test_many_processes_fill_a_cache_without_a_duplicate(tmp_path: Path) -> None:
    from sercli.training.teacher_cache import CacheKey, TeacherCache, read_index

    (tmp_path / "clips").mkdir()
    rng = np.random.default_rng(0)
    for index in range(60):
        soundfile.write(tmp_path / "clips" / f"{index:02d}.wav", rng.normal(0, 0.1, 1_600 + 16 * index), 16_000)
    command = [sys.executable, "-c", FILL, str(tmp_path / "clips"), str(tmp_path / "cache")]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    found = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate()
        found.append(int(out))
    assert sum(found) == 60
    assert min(found) > 0
    cache = TeacherCache(CacheKey("lab/tiny", "ab" * 32, {}), tmp_path / "cache")
    lines = [digest for index in cache.folder.glob("*.jsonl") for digest in index.read_text().splitlines()]
    assert len(lines) == len(cache) == 60
    assert sum(len(read_index(index)[0]) for index in cache.folder.glob("*.jsonl")) == 60

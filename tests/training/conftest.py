"""Students that are as good as trained, and a corpus of synthesised voices that can be learned."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from voices import TINY, sound, write_corpus


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small gain nothing from threads that wait for each other, least of all on a busy machine."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def student_of() -> Callable[[str], Any]:
    """Return a function that builds a student whose batch norms have seen sound, so that its scores depend on it."""
    torch = pytest.importorskip("torch", reason='needs the extra "train"')
    from sercli.models import students

    built: dict[str, Any] = {}

    def build(size: str) -> Any:
        if size not in built:
            torch.manual_seed(0)
            model = students.build(students.arguments_from({}, size), classes=7).train()
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                    module.momentum = None
                    torch.nn.init.normal_(module.bias, 0.0, 0.3)
                    torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            clips = torch.stack([torch.from_numpy(sound(seed, 16_000)) for seed in range(8)])
            with torch.no_grad():
                model(clips, torch.full((8,), 16_000))
            built[size] = model.eval()
        return built[size]

    return build


@pytest.fixture(scope="session")
def graph_of(student_of: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that exports such a student to ONNX, once per session: the exporter takes seconds."""
    built: dict[str, Any] = {}

    def export(size: str) -> Any:
        from sercli.training.graph import student_graph

        if size not in built:
            built[size] = student_graph(student_of(size))
        return built[size]

    return export


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe over a table of three classes by six synthesised speakers; decoded audio is cached in tmp_path too."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    table = write_corpus(tmp_path / "voices")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.format(table=table), encoding="utf-8")
    return recipe

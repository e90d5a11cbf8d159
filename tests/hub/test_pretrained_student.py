"""A published student in torch, by huggingface_hub's `from_pretrained`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import Hub

torch = pytest.importorskip("torch", reason='needs the extra "train"')
from sercli.hub.bundled import DEFAULT_MODEL, students  # noqa: E402
from sercli.models.hub import PretrainedStudent  # noqa: E402


def test_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    bundle = students()[DEFAULT_MODEL]
    files = {name: (bundle / name).read_bytes() for name in ("config.json", "model.safetensors")}
    sha = hub.repository("serzoo/micro").add({**files, "pytorch_model.bin": b"\x80\x04."})
    model = PretrainedStudent.from_pretrained("serzoo/micro", revision=sha)
    assert sum(parameter.numel() for parameter in model.parameters()) == model.config.parameters
    assert model(torch.zeros(1, 16_000), torch.tensor([16_000]))["logits"].shape == (1, len(model.labels))
    assert not [path for _, path, _ in hub.requests if path.endswith(".bin")]

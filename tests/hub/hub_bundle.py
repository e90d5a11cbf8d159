"""A bundle that may be published: the tiny student with all that `sercli export` writes beside a graph."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

RECIPE = """name: tiny
corpus: {labels: seven, sources: [{name: ravdess, root: ''}]}
teacher: {encoders: [], students: []}
method: {ce: {}, kd: {temperature: 2.0}}
seed: 3
"""


def metrics() -> dict[str, Any]:
    """What `sercli export` would write of a student measured on two protocols."""
    folds = {
        "model": {"name": "tiny-ravdess"},
        "data": {"protocol": "ravdess-emobox6", "labels": ["a", "b"], "corpora": {"ravdess": 1440}},
        "over_folds": {"ua": {"mean": 60.0, "std": 4.0}, "wa": {"mean": 62.0, "std": 3.0}},
        "figures": {"ua": {"value": 61.24, "low": 55.0, "high": 67.0}},
        "seed": 0,
        "development": "in training",
    }
    return {
        "cross_validation": [folds],
        "cross_corpus": [],
        "development": {"ua": 50.0, "ua_by_file": {"model.onnx": 50.0}, "ua_by_corpus": {"ravdess": 50.0}},
        "material": {"train": {"ravdess": {"utterances": 9, "speakers": ["01", "02"]}}, "dev": {}, "test": {}},
        "bytes": {"model.onnx": 1_000_000},
    }


def complete(folder: Path) -> Path:
    """Add to the tiny student what makes a bundle complete."""
    import onnx

    int8 = onnx.load(folder / "model.int8.onnx")
    int8.doc_string = "a graph of its own, by its bytes"
    onnx.save(int8, folder / "model.int8.onnx")
    header = json.dumps({"weight": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    (folder / "metrics.json").write_text(json.dumps(metrics()), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "README.md").write_text("by hand", encoding="utf-8")
    return folder

"""metrics.json as its schema knows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from sercli.evaluation import run

SCHEMA = json.loads((Path(run.__file__).parent / "metrics.schema.json").read_text(encoding="utf-8"))


def known(metrics: dict[str, Any]) -> bool:
    """Whether the schema knows all of it."""
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(metrics))


def valid(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is read back from metrics.json, if the schema knows all of it."""
    read: dict[str, Any] = json.loads(json.dumps(metrics, allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(read)
    return read


def undated(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a second run must find again."""
    return {key: value for key, value in valid(metrics).items() if key != "date"}

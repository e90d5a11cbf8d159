"""JSON and YAML that others wrote: whatever is wrong with them is a ValueError of one line, and small stays small."""

from __future__ import annotations

import json
from typing import Any

MOST_NODES = 100_000  # of a YAML document with its aliases written out; the largest manifest has thousands


def parse_json(text: str | bytes, **options: Any) -> Any:
    """Parse JSON.

    Args:
        text: bytes are UTF-8, or UTF-16 or 32 that begin as those do
        options: of json.loads

    Raises:
        ValueError: not JSON, or nested too deeply
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values.

    Raises:
        ValueError: not YAML, not plain, nested too deeply, or a few lines that their aliases make enormous
    """
    import yaml

    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        if _nodes(root, {}) > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values once its aliases are written out")
        return loader.construct_document(root)
    except RecursionError:
        raise ValueError("nested too deeply, or an alias within itself") from None
    except Exception as problem:  # constructors raise whatever they stumble over: "!!int ''" is an IndexError
        reason = " ".join(str(problem).split()) if isinstance(problem, yaml.YAMLError | ValueError) else "a bad value"
        raise ValueError(reason) from problem
    finally:
        if loader is not None:
            loader.dispose()


def _nodes(node: Any, known: dict[int, int]) -> int:
    """Count the values below a node as if aliases were copies, each node visited once."""
    if id(node) not in known:
        children = node.value if isinstance(node.value, list) else ()
        parts = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = 1 + sum(_nodes(part, known) for part in parts)
    return known[id(node)]

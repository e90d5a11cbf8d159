"""Fuzz one target guided by coverage: `python -m tests.fuzz.guided TARGET FOLDER [-runs=N] [any option of libFuzzer]`.

Needs `pip install atheris`. FOLDER is filled with good files, to which atheris adds what reaches new code; one run goes
on where the last ended. Only Python code guides it: for the readers of audio and graphs, which are C++, take
`python -m tests.fuzz`, whose changes know where headers stand.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sercli", "yaml", "json"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until an unexpected error, whose input libFuzzer writes beside."""
    name, corpus, *options = sys.argv[1:]
    target = TARGETS[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, good in enumerate(target.goods()):
        (folder / f"good-{number}").write_bytes(good)
    words = folder.with_name(f"{folder.name}.dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words if len(word) <= 64))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"case{target.suffix}"

        def one(data: bytes) -> None:
            path.write_bytes(data)
            target.check(path)

        known = [f"-dict={words}"] if target.words else []
        atheris.Setup([sys.argv[0], *known, "-timeout=60", "-rss_limit_mb=2048", *options, corpus], one)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()

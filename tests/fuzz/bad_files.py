"""Bad files out of good ones: every case follows from its target, seed and number, so that each can be made again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from itertools import chain

LARGEST = 2**16  # bytes of a bad file: what a small file can do is what is looked for
HEADER = 128  # bytes at the start in which half of the changes are made: that is where sizes and counts stand
INTERESTING = (0, 1, -1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)

DEEP = 5_000  # levels of nesting, beyond the recursion limit of the interpreter
NUMBERS = (b"null", b"true", b"~", b"-0", b"1e999", b"-1", b"nan", b".nan", b".inf", b"NaN", b"Infinity", b"-Infinity")
LONG_NUMBERS = (b"9" * 400, b"9" * 5_000, b"0.1e-400", b"0x", b"0b_", b"1:99:99", b"2001-99-99", b"1_0")
NESTED = (b"[" * DEEP, b"{" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP, b"- " * DEEP, b"a: {" * DEEP)
LETTERS = (b"\0", b"\r", b"\r\n", b"\n\n", b"\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xff\xfe", b"\xef\xbb\xbf")
MARKS = (b'"', b"'", b",", b":", b": ", b"\\ud800", b"\xf0\x9f\x98\x80", b"...", b"---\n", b"%YAML 9.9\n---\n")
TAGS = (b"&a ", b"*a", b"<<: *a", b"!!int ''", b"!!float ''", b"!!timestamp x", b"!!bool x", b"!!set {a, b}")
KEYS = (b"!!python/object:os.system {}", b"!!binary x", b"? [a]\n: b")
ALIASES = b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9) if n else b"x") for n in range(12))
WORDS: tuple[bytes, ...] = (*NUMBERS, *LONG_NUMBERS, *NESTED, *LETTERS, *MARKS, *TAGS, *KEYS, ALIASES)
"""What parsers of text stumble over: nesting, numbers, encodings, tags, aliases that grow ninefold a line."""


def bad_file(goods: Sequence[bytes], number: int, seed: int, words: Sequence[bytes] = ()) -> bytes:
    """Make one bad file.

    Args:
        goods: files to begin with
        number: of the case
        seed: of the run
        words: what may be put into text; empty for binary formats
    """
    rng = random.Random(f"{seed}/{number}")
    data = rng.choice(goods)
    ways = [_bits, _number, _cut, _drop, _repeat, _insert] + [_word] * (4 if words else 0)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = _splice(data, rng.choice(goods), rng) if rng.random() < 0.05 else rng.choice(ways)(data, rng, words)
    return data[:LARGEST]


Way = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def _at(data: bytes, rng: random.Random) -> int:
    return rng.randrange(min(len(data), HEADER) if rng.random() < 0.5 else len(data)) if data else 0


def _bits(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    """Flip a few bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[_at(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    """Overwrite with a number that is an edge of its type, in either byte order."""
    code, bits = rng.choice((("B", 8), ("H", 16), ("I", 32), ("Q", 64), ("f", 0), ("d", 0)))
    value: float = rng.choice(INTERESTING)
    packed = struct.pack(rng.choice("<>") + code, int(value) % 2**bits if bits else rng.choice((1e38, -1e38, 0.0)))
    at = _at(data, rng)
    return data[:at] + packed + data[at + len(packed) :]


def _cut(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    return data[: _at(data, rng)]


def _drop(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 4, 16, 256)) :]


def _repeat(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    at, length = _at(data, rng), rng.choice((1, 4, 16, 64, 512))
    return data[:at] + data[at : at + length] * rng.choice((2, 3, 50, 500)) + data[at + length :]


def _insert(data: bytes, rng: random.Random, _words: Sequence[bytes]) -> bytes:
    at = _at(data, rng)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 16))) + data[at:]


def _word(data: bytes, rng: random.Random, words: Sequence[bytes]) -> bytes:
    """Put a word between, or in the place of what stands between two separators."""
    at = _at(data, rng)
    ends = [end for end in (data.find(mark, at) for mark in (b",", b"\n", b"}", b"]", b'"')) if end >= 0]
    after = min(ends, default=len(data)) if rng.random() < 0.7 else at
    return data[:at] + rng.choice(words) + data[after:]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Begin with one file and go on with another."""
    return bytes(chain(data[: _at(data, rng)], other[_at(other, rng) :]))

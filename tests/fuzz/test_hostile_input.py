"""Readers refuse what is bad with one clear line, and read what is good, whatever hypothesis thinks of."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

for package in ("hypothesis", "onnx"):
    pytest.importorskip(package, reason='needs the extra "dev"')

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from sercli.corpora.table import COLUMNS, Utterance, read_table, write_table  # noqa: E402
from sercli.errors import LONGEST_MESSAGE, BundleError, CorpusError, RecipeError, one_line  # noqa: E402
from sercli.parsing import MOST_NODES, parse_json, parse_yaml  # noqa: E402
from sercli.runtime.bundle import BundleConfig  # noqa: E402
from sercli.training.recipe import Recipe  # noqa: E402
from sercli.training.recipe_file import dump_recipe, load_recipe  # noqa: E402
from tests.fuzz.bad_files import bad_file  # noqa: E402
from tests.fuzz.targets import TARGETS  # noqa: E402
from tests.tiny import RATE, config, tone  # noqa: E402

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
SECONDS = st.floats(0, 1e6, allow_subnormal=False)
UTTERANCE = st.builds(
    Utterance,
    path=TEXT.filter(lambda text: text.strip() == text != "" and not {"\0", "/", ":"} & set(text) and text[0] != "."),
    start=SECONDS,
    end=st.just(math.nan),
    speaker=TEXT,
    text=TEXT,
    emotion=TEXT,
    gender=st.sampled_from(["f", "m", ""]),
    arousal=SECONDS | st.just(math.nan),
    weight=SECONDS,
)


@cache
def goods(name: str) -> list[bytes]:
    return TARGETS[name].goods()


@pytest.mark.parametrize("name", TARGETS)
@quick
@given(number=st.integers(0, 2**32))
def test_bad_files_are_refused_in_one_line(name: str, number: int, tmp_path: Path) -> None:
    target = TARGETS[name]
    path = tmp_path / f"case{target.suffix}"
    path.write_bytes(bad_file(goods(name), number, seed=0, words=target.words))
    target.check(path)


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_accepted(name: str, tmp_path: Path) -> None:
    for number, good in enumerate(goods(name)):
        path = tmp_path / f"{number}{TARGETS[name].suffix}"
        path.write_bytes(good)
        assert TARGETS[name].check(path), good[:40]


@quick
@given(st.lists(UTTERANCE, max_size=4), st.sampled_from([".csv", ".jsonl"]))
def test_a_table_is_read_as_it_was_written(tmp_path: Path, table: list[Utterance], suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    table = [replace(one, path=str(tmp_path / one.path)) for one in table]
    write_table(table, path)
    found = read_table(path)
    assert len(found) == len(table)
    for one, other in zip(table, found, strict=True):
        for column in COLUMNS:
            assert str(getattr(other, column)) == str(getattr(one, column)), column


@quick
@given(st.sampled_from(sorted(config())), JSON)
def test_any_value_of_any_key_of_a_config(key: str, value: Any) -> None:
    with suppress(BundleError):
        found = BundleConfig.from_values(config() | {key: value}, "config.json")
        assert len(found.labels) == found.heads["logits"]


@quick
@given(st.dictionaries(st.sampled_from(sorted(vars(Recipe()))) | TEXT, JSON, max_size=3))
def test_any_mapping_as_a_recipe(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    with suppress(RecipeError):
        recipe = load_recipe(path)
        path.write_text(dump_recipe(recipe), encoding="utf-8")
        assert load_recipe(path) == recipe


@pytest.mark.parametrize("text", ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "2001-99-99", "[" * 5_000])
def test_yaml_faults_are_value_errors(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        parse_yaml(text)
    assert str(raised.value).isprintable()


def test_yaml_that_aliases_make_enormous(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ValueError, match=f"more than {MOST_NODES} values"):
        parse_yaml("\n".join(lines))
    assert parse_yaml("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}
    with pytest.raises(ValueError, match="alias within itself"):
        parse_yaml("&x [*x]")


def test_json_nested_too_deeply(tmp_path: Path) -> None:
    deep = '{"path": ' + "[" * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(deep)
    (tmp_path / "a.jsonl").write_text(deep)
    with pytest.raises(CorpusError, match="row 1: not JSON"):
        read_table(tmp_path / "a.jsonl")


def test_numbers_beyond_any_float(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"path": "a.wav", "start": {"9" * 400}}}')
    with pytest.raises(CorpusError, match='column "start" is infinite'):
        read_table(tmp_path / "a.jsonl")
    (tmp_path / "a.yaml").write_text(f"optim: {{lr: {'9' * 400}}}")
    with pytest.raises(RecipeError, match=r"optim\.lr: is larger than any number can be"):
        load_recipe(tmp_path / "a.yaml")
    with pytest.raises(BundleError, match="min_seconds must be above 0 and at most 600"):
        BundleConfig.from_values(config(min_seconds=10**9), "config.json")


def test_messages_are_one_line_whatever_they_quote() -> None:
    assert one_line("a\nb\x00c\u2028d") == "a\\nb\\x00c\\u2028d"
    assert one_line("fine: größer; \udcff.wav") == "fine: größer; \udcff.wav"
    long = one_line("file: " + "x" * 100_000 + "; do that")
    assert len(long) < LONGEST_MESSAGE + 10
    assert long.startswith("file: x")
    assert long.endswith("; do that")


def _claims(form: str, at: int, packed: bytes) -> Callable[[Path], bytes]:
    """A small file whose header is made to claim more than it has."""

    def build(path: Path) -> bytes:
        soundfile.write(path, tone(440, 0.03), RATE, format=form)
        data = bytearray(path.read_bytes())
        data[at : at + len(packed)] = packed
        return bytes(data)

    return build


@pytest.mark.parametrize(
    "build",
    [
        _claims("WAV", 40, struct.pack("<I", 0xFFFF_FFFF)),
        _claims("WAV", 40, struct.pack("<I", 0x7FFE_FFFF)),
        _claims("WAV", 22, struct.pack("<H", 1024)),
        _claims("FLAC", 21, b"\xff\xff\xff\xff\xff"),
        _claims("AIFF", 22, struct.pack(">I", 0xFFFF_FFFF)),
        _claims("CAF", 56, struct.pack(">Q", 2**60)),
        _claims("W64", 120, struct.pack("<Q", 2**60)),
        _claims("AU", 8, struct.pack(">I", 0xFFFF_FFF0)),
    ],
)
def test_a_small_file_that_claims_to_be_large_takes_no_memory(tmp_path: Path, build: Callable[[Path], bytes]) -> None:
    path = tmp_path / "claims.wav"
    path.write_bytes(build(path))
    code = (
        "import resource, sys, soundfile, soxr\n"
        "from sercli.audio import blocks\nfrom sercli.errors import AudioError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: print(sum(map(len, blocks(sys.argv[1]))))\nexcept AudioError as problem: print(problem)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    *_, megabytes = done.stdout.splitlines()
    assert int(megabytes) < 40


def test_what_a_c_library_prints_is_no_result() -> None:
    code = (
        "import ctypes\nfrom sercli.runtime.sink import standard_output\n"
        "with standard_output() as sink:\n"
        "    ctypes.CDLL(None).printf(b'Error A : 18\\n')\n    sink.write('{}\\n')\n"
        "print('after')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{}\nafter\n"
    assert done.stderr == "Error A : 18\n"

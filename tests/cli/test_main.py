"""The command as a whole: exit codes, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sercli
from sercli.cli.main import COMMANDS, cli, run
from sercli.errors import BundleError, ExitCode, SercliError, UsageError
from sercli.hub.bundled import DEFAULT_MODEL
from tests.tiny import RATE, tone

HEAVY = {"torch", "transformers", "scipy", "pandas", "matplotlib", "sklearn"}
FORBIDDEN_IN_PREDICT = HEAVY | {"yaml", "huggingface_hub", "jinja2"}
NOT_FOR_16_KHZ_FILES = {"soxr", "tqdm"}

LIST_MODULES = """
import json, sys
before = set(sys.modules)
code = 0
try:
    {body}
except SystemExit as end:
    code = end.code
print("MODULES" + json.dumps([code, sorted({{name.split(".")[0] for name in set(sys.modules) - before}})]))
"""


def modules_after(body: str, **environment: str) -> set[str]:
    """Top-level modules that a piece of code imports in a fresh interpreter."""
    code = LIST_MODULES.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    status, names = json.loads(done.stdout.split("MODULES")[1])
    assert status in (0, None), done.stderr
    return set(names)


def foreign(names: set[str]) -> set[str]:
    """What does not belong to the standard library, click or this package."""
    return {name for name in names if name not in sys.stdlib_module_names} - {"sercli", "click"}


RUN = "from sercli.cli.main import run; sys.exit(run({arguments!r}))"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in COMMANDS)])
def test_help_imports_click_only(arguments: list[str]) -> None:
    assert foreign(modules_after(RUN.format(arguments=arguments))) == set()


@pytest.mark.parametrize(
    "words", ["sercli ", "sercli predict --", "sercli predict --model ", "sercli zoo ", "sercli zoo pull m"]
)
def test_completion_imports_click_only(words: str) -> None:
    body = "from sercli.cli.main import main; sys.argv = ['sercli']; main()"
    count = str(len(words.split()) - (0 if words.endswith(" ") else 1))
    environment = {"_SERCLI_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    assert foreign(modules_after(body, **environment)) == set()


def test_import_sercli_is_cheap() -> None:
    assert foreign(modules_after("import sercli; sercli.SercliError")) == set()


@pytest.mark.parametrize("model", ["FOLDER", DEFAULT_MODEL])
def test_predict_imports_no_torch(tiny_bundle: Path, tmp_path: Path, model: str) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", tone(200, 1.0), RATE)
    chosen = model.replace("FOLDER", str(tiny_bundle))
    names = modules_after(RUN.format(arguments=["predict", str(tmp_path / "a.wav"), "-m", chosen]))
    assert names >= {"onnxruntime", "soundfile"}
    assert not names & (FORBIDDEN_IN_PREDICT | NOT_FOR_16_KHZ_FILES)


def test_zoo_imports_no_torch() -> None:
    names = modules_after(RUN.format(arguments=["zoo", "pull", DEFAULT_MODEL]))
    names |= modules_after(RUN.format(arguments=["zoo", "list"]))
    assert not names & (HEAVY | {"jinja2", "onnxruntime"})


def test_public_names_exist() -> None:
    assert sorted(sercli.__all__) == dir(sercli)
    for name in sercli.__all__:
        assert getattr(sercli, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        sercli.nothing  # noqa: B018


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"sercli {sercli.__version__}\n"


def test_exit_codes() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 130]
    assert (SercliError.exit_code, UsageError.exit_code, BundleError.exit_code) == (1, 2, 1)


def test_unknown_command_and_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["predikt"]) == 2
    assert run(["predict", "--no-such"]) == 2
    assert run([]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        (UsageError("wrong; do this"), 2, "sercli: error: wrong; do this\n"),
        (BundleError("broken; pull"), 1, "sercli: error: broken; pull\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (RuntimeError("bug"), 1, "sercli: error: RuntimeError: bug (SERCLI_DEBUG=1 shows where)\n"),
    ],
)
def test_every_ending_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    problem: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(cli, "main", fail)
    monkeypatch.delenv("SERCLI_DEBUG", raising=False)
    assert run(["predict", "a.wav"]) == code
    assert capfd.readouterr().err == message


def test_debug_shows_the_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sercli", "predict", "a.wav", "-m", "./none/such"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SERCLI_DEBUG": "1"},
    )
    assert "Traceback" in done.stderr
    assert "ModelNotFoundError" in done.stderr

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sercli.cli.extras import EXTRAS, require
from sercli.cli.main import run
from sercli.errors import MissingExtraError


@pytest.mark.parametrize("command", ["train", "export"])
def test_without_the_extra_the_command_says_what_to_install(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in EXTRAS["train"]:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    arguments = [str(tmp_path / "recipe.yaml")] if command == "train" else [str(tmp_path), "-o", str(tmp_path / "b")]
    assert run([command, *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f'sercli: error: sercli {command} needs {", ".join(EXTRAS["train"])}; pip install "sercli[train]"\n'


def test_names_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "train", ("click", "onnx"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError) as caught:
        require("train", "sercli train")
    assert str(caught.value) == 'sercli train needs onnx; pip install "sercli[train]"'


def test_nothing_to_say_where_everything_is_installed() -> None:
    if any(find_spec(name) is None for name in EXTRAS["train"]):
        pytest.skip('needs the extra "train"')
    require("train", "sercli train")

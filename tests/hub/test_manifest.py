"""The manifest: a schema and the reader agree on what it may say, and nothing runs that is not in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

import sercli
from sercli.errors import BundleError, ManifestError, UsageError
from sercli.hub import bundled, manifest
from sercli.hub.entry import Where, entry_of
from sercli.hub.find import find
from sercli.hub.manifest import checked, dump, packaged, runs_here

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "zoo" / "manifest.yaml"
SCHEMA = json.loads((ROOT / "sercli" / "hub" / "manifest.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))


def by_schema(values: Any) -> bool:
    jsonschema = pytest.importorskip("jsonschema", reason='needs the extra "dev"')
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(values))


def by_reader(values: Any) -> bool:
    try:
        checked(values, "test")
    except ManifestError:
        return False
    return True


def test_packaged_manifest_is_valid_and_as_its_writer_writes_it() -> None:
    assert by_schema(VALUES)
    assert MANIFEST.read_text(encoding="utf-8") == dump(packaged())


def test_lines_say_what_yaml_says() -> None:
    """Names and hashes are read without YAML where time counts."""
    entries = VALUES["students"].items()
    expected = {name: {file: facts["sha256"] for file, facts in entry["files"].items()} for name, entry in entries}
    assert bundled.digests_by_student(MANIFEST.read_text(encoding="utf-8")) == expected
    assert set(bundled.names()) == set(expected)


def changed(*path: str, to: Any = None) -> dict[str, Any]:
    """The packaged manifest with one value of `micro` set, or removed if it is to be None."""
    values = deepcopy(VALUES)
    place = values["students"]["micro"]
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return values


COMMIT = "0123456789" * 4
FILE = {"size": 1, "sha256": "ab" * 32}


@pytest.mark.parametrize(
    ("values", "valid"),
    [
        (changed("speed"), True),
        (changed("where", to={"bundled": False, "hub": f"hf:serzoo/micro@{COMMIT}"}), True),
        (changed("metrics", to=[]), True),
        (changed("where", to={"bundled": False}), False),
        (changed("where", to={"bundled": True, "hub": "hf:serzoo/micro@main"}), False),
        (changed("where", to={"bundled": True, "path": "/tmp"}), False),
        (changed("colour", to="red"), False),
        (changed("licence", "data", to="CC0"), False),
        (changed("licence", "weights"), False),
        (changed("labels", to="happy"), False),
        (changed("labels", to=["happy", "happy"]), False),
        (changed("sample_rate", to=8_000), False),
        (changed("parameters", to="many"), False),
        (changed("minimum_sercli", to="newest"), False),
        (changed("files", "../evil.onnx", to=FILE), False),
        (changed("files", "pytorch_model.bin", to=FILE), False),
        (changed("files", "model.onnx"), False),
        (changed("files", "model.onnx", to={**FILE, "url": "http://x"}), False),
        (changed("files", "model.onnx", to={"size": 1, "sha256": "AB" * 32}), False),
        (changed("files", "model.onnx", to={"size": 2**40, "sha256": "ab" * 32}), False),
        ({"format": 2, "students": {}}, False),
        ({"format": 1, "students": {}, "more": 1}, False),
        ({"format": 1, "students": {"../micro": VALUES["students"]["micro"]}}, False),
        ({"format": 1, "students": []}, False),
        ([], False),
    ],
)
def test_schema_and_reader_agree(values: Any, valid: bool) -> None:
    assert by_reader(values) is valid
    assert by_schema(values) is valid


def test_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(ManifestError, match=r"unknown key students\.micro\.licens; did you mean \S+\.licence"):
        checked(changed("licens", to={}), "test")


@pytest.mark.parametrize("text", ["students: [", "!!python/object/apply:os.system ['true']"])
def test_only_plain_yaml_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(ManifestError, match="cannot be read"):
        manifest.read(tmp_path / "manifest.yaml")


def test_student_of_a_newer_sercli(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of(bundle, Where(bundled=True))
    runs_here("tiny", entry)
    monkeypatch.setattr(sercli, "__version__", "0.0.9", raising=False)
    with pytest.raises(UsageError, match=r"tiny needs sercli 0\.1\.0 or newer, this is 0\.0\.9; update sercli"):
        runs_here("tiny", entry)


@pytest.fixture
def home(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo in place of the packaged one, with the student `tiny`."""
    from sercli.hub.zoo_folder import enter

    enter(bundle, tmp_path / "zoo")
    monkeypatch.setattr("sercli.hub.bundled._HOMES", (tmp_path / "zoo" / "students",))
    return tmp_path / "zoo"


@pytest.mark.parametrize("file", ["model.onnx", "config.json"])
def test_nobody_runs_a_bundled_student_that_was_altered(home: Path, file: str) -> None:
    assert sercli.load("tiny").config.name == "tiny"
    path = home / "students" / "tiny" / file
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BundleError, match="not the file that was published; pull it again"):
        sercli.load("tiny")
    sercli.load(home / "students" / "tiny", precision="int8")  # a folder is one's own


def test_a_student_that_is_not_in_the_manifest(home: Path) -> None:
    (home / "manifest.yaml").write_text("format: 1\nstudents: {}\n")
    with pytest.raises(BundleError, match="not in the manifest; enter it with `sercli zoo bundle`"):
        find("tiny")


def test_models_that_are_opened_for_training_are_whole(home: Path) -> None:
    from sercli.evaluation.model import open_model

    (home / "students" / "tiny" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(BundleError, match=r"model\.safetensors not as published"):
        open_model("tiny")


Sercli = Callable[..., tuple[int, str, str]]


def test_list_and_info(home: Path, sercli: Sercli) -> None:
    code, out, err = sercli("zoo", "list")
    head, row = out.splitlines()
    assert (code, head.split()[:4]) == (0, ["NAME", "PARAMETERS", "FLOAT32", "INT8"])
    assert row.split()[0] == "tiny"
    assert "60.0  ravdess-emobox6" in row
    assert row.endswith("CC BY-NC-SA 4.0     bundled")
    assert err.startswith("UA: ")
    (listed,) = json.loads(sercli("zoo", "list", "--format", "json")[1])
    assert (listed["name"], listed["place"], listed["metrics"][0]["interval"]) == ("tiny", "bundled", [55.0, 67.0])
    assert json.loads(sercli("zoo", "list", "--format", "json", "--licence", "open")[1]) == []
    code, out, _ = sercli("zoo", "info", "tiny")
    assert code == 0
    assert "UA 60.0 (pooled 61.2, 95 % 55.0 to 67.0) on ravdess-emobox6, 2 classes, recipe tiny-ravdess" in out
    assert "licence       code Apache-2.0; weights CC BY-NC-SA 4.0" in out
    assert "## Intended use and limits" in out
    assert out.endswith("seed: 3\n")
    assert json.loads(sercli("zoo", "info", "tiny", "--format", "json")[1])["folder"] == str(home / "students" / "tiny")


def test_info_of_a_folder_with_a_card_of_its_own(bundle: Path, sercli: Sercli) -> None:
    code, out, err = sercli("zoo", "info", bundle)
    assert (code, err) == (0, "")
    assert "\nby hand\n" in out
    (bundle / "metrics.json").unlink()
    code, _, err = sercli("zoo", "info", bundle)
    assert (code, err) == (
        1,
        f"sercli: error: {bundle / 'metrics.json'}: cannot be read (No such file or directory); "
        "export the student again\n",
    )


def test_bundled_student_is_pulled_verified_and_not_removed(home: Path, sercli: Sercli) -> None:
    folder = home / "students" / "tiny"
    told = "tiny: weights are CC BY-NC-SA 4.0: not for commercial use\n"
    assert sercli("zoo", "pull", "tiny") == (0, f"{folder}\n", told)
    assert sercli("zoo", "verify") == (0, f"tiny  ok, 7 files  {folder}\n", "")
    assert sercli("zoo", "remove", "tiny")[0] == 2
    (folder / "recipe.yaml").unlink()
    code, out, err = sercli("zoo", "verify", "tiny")
    assert (code, out) == (1, f"tiny  altered: recipe.yaml  {folder}\n")
    assert err.startswith("sercli: error: tiny not as published; ")


def test_bundle_enters_the_zoo(bundle: Path, tmp_path: Path, sercli: Sercli) -> None:
    zoo = tmp_path / "new"
    code, out, _ = sercli("zoo", "bundle", bundle, "--zoo", zoo, "--name", "nano")
    assert code == 0
    assert list(yaml.safe_load(out)["students"]) == ["nano"]
    assert json.loads((zoo / "students" / "nano" / "config.json").read_text())["name"] == "nano"
    first = (zoo / "manifest.yaml").read_text()
    assert sercli("zoo", "bundle", zoo / "students" / "nano", "--zoo", zoo)[0] == 0  # where it lies already
    assert (zoo / "manifest.yaml").read_text() == first
    assert sercli("zoo", "bundle", bundle, "--zoo", zoo)[0] == 0
    assert list(manifest.read(zoo / "manifest.yaml")) == ["nano", "tiny"]
    (bundle / "model.onnx").write_bytes(b"no")
    before = (zoo / "manifest.yaml").read_text()
    assert sercli("zoo", "bundle", bundle, "--zoo", zoo)[0] == 1
    assert (zoo / "manifest.yaml").read_text() == before


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_publish_writes_the_entries_back(hub: Any, home: Path, sercli: Sercli) -> None:
    before = (home / "manifest.yaml").read_text()
    assert sercli("zoo", "publish", "serzoo", "--zoo", home, "--dry-run")[0] == 0
    assert (home / "manifest.yaml").read_text() == before
    for wrong in (("a/b",), ("else",), ("serzoo", "--tag", "a b")):  # no name, no rights, no tag
        assert sercli("zoo", "publish", "--zoo", home, *wrong)[0] != 0
    hub.faults.failing_tags = 9
    assert sercli("zoo", "publish", "serzoo", "--zoo", home, "--tag", "v1")[0] == 1
    assert sercli("zoo", "verify")[0] == 0
    assert (home / "manifest.yaml").read_text() == before
    hub.faults.failing_tags = 0
    code, _, err = sercli("zoo", "publish", "serzoo", "--zoo", home, "--tag", "v1")
    assert code == 0, err
    entry = manifest.read(home / "manifest.yaml")["tiny"]
    repository = hub.repositories["serzoo/tiny"]
    assert entry.where == Where(bundled=True, hub=f"hf:serzoo/tiny@{repository.tags['v1']}")
    assert len(repository.commits) == 2
    assert sercli("zoo", "verify")[0] == 0
    for name, facts in entry.files.items():  # what is on the Hub is what is in the zoo
        assert repository.files(repository.tags["v1"])[name].sha256 == facts.sha256
    published = (home / "manifest.yaml").read_text()
    assert sercli("zoo", "publish", "serzoo", "tiny", "--zoo", home, "--tag", "v1")[0] == 0
    assert (home / "manifest.yaml").read_text() == published
    assert sercli("zoo", "publish", "serzoo", "teny", "--zoo", home)[0] == 2


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_student_of_the_zoo_that_lies_on_the_hub(hub: Any, home: Path, sercli: Sercli, tmp_path: Path) -> None:
    """By its name, pinned by commit and hash; the Hub is asked once, and trusted for nothing."""
    import shutil

    assert sercli("zoo", "publish", "serzoo", "--zoo", home)[0] == 0
    text = (home / "manifest.yaml").read_text()
    (home / "manifest.yaml").write_text(text.replace("bundled: true", "bundled: false"))
    shutil.rmtree(home / "students" / "tiny")
    assert json.loads(sercli("zoo", "list", "--format", "json")[1])[0]["place"] == "hub"
    code, out, err = sercli("zoo", "info", "tiny")
    assert (code, err) == (0, "its card and recipe come with it: sercli zoo pull tiny\n")
    assert "not here" in out
    assert sercli("zoo", "verify") == (0, "", "tiny: not here; sercli zoo pull tiny\n")
    assert sercli("zoo", "verify", "tiny")[0] == 1
    hub.faults.altered = {"model.onnx"}
    code, _, err = sercli("zoo", "pull", "tiny")
    assert code == 1
    assert "model.onnx is not the file that was published" in err
    hub.faults.altered = set()
    code, out, err = sercli("zoo", "pull", "tiny")
    assert (code, err) == (0, "tiny: weights are CC BY-NC-SA 4.0: not for commercial use\n")
    hub.requests.clear()
    assert json.loads(sercli("zoo", "list", "--format", "json")[1])[0]["place"] == "cached"
    assert sercli("zoo", "verify", "tiny") == (0, f"tiny  ok, 7 files  {out}", "")
    assert sercli("zoo", "pull", "tiny", "--offline")[1] == out
    assert hub.requests == []
    assert sercli("zoo", "remove", "tiny")[0] == 0
    assert sercli("zoo", "remove", "tiny")[2] == "sercli: error: tiny: not in the cache\n"

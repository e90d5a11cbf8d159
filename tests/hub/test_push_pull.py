"""Push and pull against a Hub: what one publishes, another can run, with sercli and without."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import yaml

pytest.importorskip("jinja2", reason='needs the extra "push"')
from hub_bundle import complete
from hub_server import Hub

from sercli.runtime.bundle import BUNDLE_FILES
from tests.tiny import RATE, make_bundle, tone

Sercli = Callable[..., tuple[int, str, str]]
Child = Callable[..., "subprocess.CompletedProcess[str]"]


# huggingface_hub uploads in a way that its HTTP client is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def push(sercli: Sercli, bundle: Path, *options: str) -> str:
    """Push and return the commit."""
    code, out, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", *options)
    assert code == 0, err
    hub = yaml.safe_load(out)["students"]["tiny"]["where"]["hub"]
    return str(hub).removeprefix("hf:serzoo/tiny@")


def test_round_trip(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    code, out, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", "--tag", "v1")
    assert code == 0, err
    entry = yaml.safe_load(out)["students"]["tiny"]
    repository = hub.repositories["serzoo/tiny"]
    sha = repository.branches["main"]
    assert (code, entry["where"]) == (0, {"bundled": False, "hub": f"hf:serzoo/tiny@{sha}"})
    assert err.endswith(f"use it as hf:serzoo/tiny@{sha}\n")
    assert repository.tags == {"v1": sha}
    assert len(repository.commits) == 2  # the empty one, and all files at once
    files = repository.files(sha)
    assert set(files) == {*BUNDLE_FILES, ".gitattributes"}
    assert {name: (file.size, file.sha256) for name, file in files.items() if name != ".gitattributes"} == {
        name: (facts["size"], facts["sha256"]) for name, facts in entry["files"].items()
    }
    assert {name for name, file in files.items() if file.lfs} == {
        "model.onnx", "model.int8.onnx", "model.safetensors",
    }  # fmt: skip
    assert (bundle / "README.md").read_text() == "by hand"  # the folder is only read

    code, out, err = sercli("zoo", "pull", f"hf:serzoo/tiny@{sha}")
    folder = Path(out.strip())
    assert (code, folder.name, folder.parent.name) == (0, sha, "snapshots")
    assert folder.is_relative_to(tmp_path / "hf" / "hub")
    for name in BUNDLE_FILES:
        if name != "README.md":
            assert (folder / name).read_bytes() == (bundle / name).read_bytes()
    assert err == f"hf:serzoo/tiny@{sha}: weights are cc-by-nc-sa-4.0: not for commercial use\n"


def test_card_on_the_hub(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    from huggingface_hub import ModelCard

    push(sercli, bundle, "--tag", "v1")
    code, out, _ = sercli("zoo", "pull", "hf:serzoo/tiny@v1")
    data = ModelCard.load(Path(out.strip()) / "README.md").data
    assert code == 0
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [
        ("recall", 60.0),
        ("accuracy", 62.0),
    ]
    assert (data.license, data.language) == ("cc-by-nc-sa-4.0", ["en"])


def test_six_lines_of_the_card_run_without_sercli(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    push(sercli, bundle, "--tag", "v1")
    _, out, _ = sercli("zoo", "pull", "hf:serzoo/tiny@v1")
    card = (Path(out.strip()) / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(code.splitlines()) == 6
    soundfile.write(tmp_path / "file.wav", tone(3_000, 1.0), RATE)
    alone = f"import sys; sys.modules['sercli'] = None\n{code}"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        [sys.executable, "-c", alone], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "angry\n"


def test_pinned_student_needs_no_network(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    sha = push(sercli, bundle)
    soundfile.write(tmp_path / "a.wav", tone(200, 1.0), RATE)
    label = ("predict", tmp_path / "a.wav", "--format", "jsonl", "-m", f"hf:serzoo/tiny@{sha}")
    code, out, err = sercli(*label)
    assert (code, json.loads(out)["label"]) == (0, "sad")
    assert err == f"hf:serzoo/tiny@{sha}: weights are cc-by-nc-sa-4.0: not for commercial use\n"
    hub.requests.clear()
    assert sercli(*label)[0] == 0
    assert sercli(*label, "--offline") == (0, out, "")
    assert sercli("zoo", "pull", f"hf:serzoo/tiny@{sha}")[0] == 0
    assert sercli("zoo", "verify", f"hf:serzoo/tiny@{sha}")[0] == 0
    assert hub.requests == []


def test_branch_is_resolved_and_told(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    first = push(sercli, bundle)
    code, out, err = sercli("zoo", "pull", "hf:serzoo/tiny")
    assert (code, Path(out.strip()).name) == (0, first)
    assert err.startswith(f"hf:serzoo/tiny@main is hf:serzoo/tiny@{first}\n")
    make_bundle(bundle, sharpness=3.0).joinpath("recipe.yaml").write_text("name: other\n")
    second = push(sercli, complete(bundle))
    assert second != first
    hub.requests.clear()
    assert sercli("zoo", "pull", "hf:serzoo/tiny", "--offline")[1].strip().endswith(first)  # as it was last asked for
    assert hub.requests == []
    assert sercli("zoo", "pull", "hf:serzoo/tiny@main")[1].strip().endswith(second)
    assert sercli("zoo", "pull", f"hf:serzoo/tiny@{first}")[1].strip().endswith(first)


def test_environment_of_huggingface_is_honoured(hub: Hub, bundle: Path, sercli: Sercli, child: Child) -> None:
    """HF_HOME, HF_ENDPOINT and HF_TOKEN of a private repository; HF_HUB_OFFLINE; in processes of their own."""
    sha = push(sercli, bundle, "--private")
    reference = f"hf:serzoo/tiny@{sha}"
    done = child("zoo", "pull", reference, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not in the cache and HF_HUB_OFFLINE is set" in done.stderr
    done = child("zoo", "pull", reference, HF_TOKEN="hf_ofSomebodyElse")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such repository, or it is private" in done.stderr
    assert child("zoo", "pull", reference).returncode == 0
    hub.requests.clear()
    done = child("zoo", "pull", reference, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert hub.requests == []


def test_push_again_makes_no_commit(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    first = push(sercli, bundle, "--tag", "v1")
    commits = len(hub.repositories["serzoo/tiny"].commits)
    assert push(sercli, bundle, "--tag", "v1") == first
    assert len(hub.repositories["serzoo/tiny"].commits) == commits


def test_push_that_broke_off_before_its_tag_is_completed(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    hub.faults.failing_tags = 9
    code, out, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", "--tag", "v1")
    assert (code, out) == (1, "")
    assert "answered HTTP 500; try again later" in err
    hub.faults.failing_tags = 0
    sha = push(sercli, bundle, "--tag", "v1")
    assert hub.repositories["serzoo/tiny"].tags == {"v1": sha}
    assert len(hub.repositories["serzoo/tiny"].commits) == 2


def test_tag_of_other_files_is_not_moved(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    push(sercli, bundle, "--tag", "v1")
    before = dict(hub.repositories["serzoo/tiny"].branches)
    (bundle / "recipe.yaml").write_text("name: tiny\nseed: 9\n")
    code, _, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", "--tag", "v1")
    assert code == 1
    assert "tag v1 stands on other files; choose another tag (nothing uploaded)" in err
    assert hub.repositories["serzoo/tiny"].branches == before


def test_dry_run_asks_nobody(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    code, out, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", "--dry-run")
    assert code == 0
    assert yaml.safe_load(out)["students"]["tiny"]["where"] == {"bundled": False}
    assert "would push model.onnx" in err
    assert hub.requests == []


@pytest.mark.parametrize(
    ("repository", "code", "message"),
    [
        ("else/tiny", 1, "refused (HTTP 403); check your token's rights: `hf auth login`, or set HF_TOKEN"),
        ("serzoo/tiny --tag ../v1", 2, "'../v1' is no name of a tag; write something like v1"),
        ("tiny", 2, "'tiny' is no repository; write OWNER/NAME"),
    ],
)
def test_push_elsewhere(hub: Hub, bundle: Path, sercli: Sercli, repository: str, code: int, message: str) -> None:
    found, out, err = sercli("zoo", "push", bundle, "--to", *repository.split())
    assert (found, out) == (code, "")
    assert message in err
    assert hub.repositories == {}


def test_push_without_a_token(hub: Hub, bundle: Path, sercli: Sercli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny")
    assert code == 1
    assert "`hf auth login`, or set HF_TOKEN" in err


def test_push_says_what_it_leaves_out(hub: Hub, bundle: Path, sercli: Sercli) -> None:
    (bundle / "optimizer.pt").write_bytes(b"pickle")
    (bundle / "notes.txt").write_text("mine")
    (bundle / "recipe.yaml").write_text("name: tiny\ncorpus: {sources: [{name: ravdess, root: /data/ravdess}]}\n")
    code, _, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny", "--dry-run")
    assert code == 0
    assert f"{bundle}: ignored optimizer.pt: sercli never publishes pickles\n" in err
    assert f"{bundle}: ignored notes.txt: no part of a bundle\n" in err
    assert "recipe.yaml names local folders (/data/ravdess)" in err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.int8.onnx").unlink(), "model.int8.onnx missing; export the student again"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04pickle"), "not a whole safetensors file"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no"), "not a usable ONNX graph"),
        (lambda folder: (folder / "metrics.json").write_text("{}"), "has no cross_validation"),
        (lambda folder: (folder / "recipe.yaml").write_text("- a"), "not a recipe"),
    ],
)
def test_bundle_that_may_not_be_pushed(
    hub: Hub, bundle: Path, sercli: Sercli, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(bundle)
    code, out, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny")
    assert (code, out) == (1, "")
    assert message in err
    assert hub.requests == []


def test_link_out_of_the_bundle_is_refused(hub: Hub, bundle: Path, sercli: Sercli, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: 1\n")
    (bundle / "recipe.yaml").unlink()
    (bundle / "recipe.yaml").symlink_to(secret)
    code, _, err = sercli("zoo", "push", bundle, "--to", "serzoo/tiny")
    assert code == 1
    assert f"recipe.yaml: leads out of its folder, to {secret}" in err
    assert hub.requests == []


def test_remove(hub: Hub, bundle: Path, sercli: Sercli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sha = push(sercli, bundle)
    _, out, _ = sercli("zoo", "pull", f"hf:serzoo/tiny@{sha}")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # root may write anywhere
        code, _, err = sercli("zoo", "remove", "hf:serzoo/tiny")
    place = tmp_path / "hf" / "hub"
    told = f"hf:serzoo/tiny@main: cannot be deleted from {place} (Permission denied); check its rights"
    assert (code, err) == (1, f"sercli: error: {told}\n")
    assert Path(out.strip()).exists()
    code, _, err = sercli("zoo", "remove", "hf:serzoo/tiny")
    assert code == 0
    assert re.fullmatch(r"hf:serzoo/tiny: removed, [\d.]+ MB freed\n", err)
    assert not Path(out.strip()).exists()
    code, _, err = sercli("zoo", "remove", f"hf:serzoo/tiny@{sha}")
    assert (code, err) == (2, f"sercli: error: hf:serzoo/tiny@{sha}: not in the cache\n")

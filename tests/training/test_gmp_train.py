"""GMP-ATL end to end: three stages on encoders of random weights, and IEMOCAP's protocol on a generated tree."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from commands import sercli, trained, written  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from voices import RATE, TINY, voice, write_corpus  # noqa: E402

from sercli.corpora.speech import read_utterance  # noqa: E402
from sercli.corpora.table import read_table  # noqa: E402
from sercli.evaluation.model import heard_by, open_model  # noqa: E402
from sercli.models.encoder import EncoderSource, load_encoder  # noqa: E402
from sercli.training.pseudo_run import load_numbers  # noqa: E402
from sercli.training.trainee import Trainee  # noqa: E402
from tests.tiny_encoders import WAVEFORM, WHISPER  # noqa: E402

RECIPES = Path(__file__).parents[2] / "zoo" / "recipes"
STEPS_A_EPOCH = 2  # 24 training clips in batches of 12
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "hubert": ("HubertModel", WAVEFORM),
    "wav2vec2": ("Wav2Vec2Model", WAVEFORM),
    "whisper": ("WhisperModel", WHISPER),
}
GMP = """
name: tiny
corpus: {{labels: iemocap4, sources: [{{name: {table}}}]}}
split: {{dev_speakers: {{voices: [s5, s6]}}}}
encoder: {{name: {encoder}, layers: [2, 3], trained_layers: 1, cached: true, lr: 1e-3}}
head: {{pooling: attentive, hidden: 8, dropout: 0, attention: 4}}
method:
  gmp-atl:
    scales: [[2, 4], [3, 6]]
    a: {{epochs: 2, batch: 12, lr: 2e-2, patience: 0}}
    b: {{epochs: 2, batch: 12, lr: 2e-2, patience: 0}}
augment: {{trim_seconds: 0.1}}
optim: {{epochs: 2, batch: 12, lr: 2e-2, patience: 0}}
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny encoder by family, made once."""
    home = tmp_path_factory.mktemp("encoders")

    def folder(family: str) -> Path:
        if not (home / family).exists():
            class_name, config = FAMILIES[family]
            model_class: Any = getattr(transformers, class_name)
            torch.manual_seed(0)
            model = model_class(model_class.config_class(**config))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))  # a new model's let little through
            model.save_pretrained(home / family)
            if family != "whisper":
                transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(home / family)
        return home / family

    return folder


@pytest.fixture
def recipe(tmp_path: Path, saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of two clips for each of three classes and six speakers, every other one a woman."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    table = write_corpus(tmp_path / "voices", clips=2)
    head, *rows = table.read_text().splitlines()
    genders = (f"{row},{'fm'[int(row.split(',')[2][1]) % 2]}" for row in rows)
    table.write_text("\n".join([f"{head},gender", *genders]) + "\n")
    file = tmp_path / "gmp.yaml"
    file.write_text(GMP.format(table=table, encoder=saved("whisper")), encoding="utf-8")
    return file


def changed(folder: Path, earlier: Path) -> bool:
    one, other = (load_file(place / "model.safetensors") for place in (folder, earlier))
    shared = [name for name in one if name.startswith("encoder.") and name in other]
    assert shared
    return any(not np.array_equal(one[name], other[name]) for name in shared)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("whisper", ()),
        ("hubert", ("encoder.cached=false", "encoder.trained_layers=-1")),
        ("wav2vec2", ("method.gmp-atl.frames=masked", "encoder.trained_layers=2", "encoder.layers=[]")),
    ],
)
def test_three_stages_make_a_teacher(
    recipe: Path,
    saved: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    family: str,
    options: tuple[str, ...],
) -> None:
    home = tmp_path / "run"
    out = trained(capsys, recipe, f"encoder.name={saved(family)}", *options, "-o", home)
    assert re.fullmatch(r"tiny: development UA \d+\.\d\d, WA \d+\.\d\d, 12 clips\n", out)
    a, b = home / "stage-a-gender", home / "stage-b-gender-2x4-3x6"
    assert {path.name for path in home.glob("stage-*")} == {a.name, b.name}
    assert 0 <= written(a)["dev"]["gender"]["ua"] <= 100
    assert {"loss_ce", "loss_gender"} <= written(a)["history"][-1].keys()
    terms = written(b)["history"][-1]
    assert terms["loss"] == pytest.approx(terms["loss_2x4"] + terms["loss_3x6"], rel=1e-3)
    assert "loss_am-softmax" in written(home)["history"][-1]
    assert changed(a, b), "stage B trains on"
    assert changed(b, home), "and so does stage C"
    for stage in (a, b, home):
        heard = heard_by(stage / "metrics.json")
        assert heard is not None
        assert {speaker for _, speaker in heard.train} == {"s1", "s2", "s3", "s4"}

    # every frame of the encoder has one number for each scale, and no more than its clusters
    table = sorted(read_table(tmp_path / "voices" / "voices.csv"), key=lambda u: u.path)
    numbers = load_numbers(b / "labels.safetensors", len(table))
    encoder = load_encoder(EncoderSource(str(saved(family))))
    clips = [read_utterance(utterance) for utterance in table]
    with torch.no_grad():
        counts = [int(encoder(torch.from_numpy(c)[None], torch.tensor([len(c)])).counts[0]) for c in clips]
    assert sorted(len(clip) for clip in numbers) == sorted(counts)
    assert np.concatenate(numbers).max(axis=0).tolist() <= [3, 5]
    assert not list(b.glob("features-*"))
    report = written(b, "clusters")
    assert set(report["classes"]) == {"emotion", "gender"}, "nobody knows what was said"
    assert (b / "clusters.png").exists()

    model = open_model(home)
    held_out = [clip for utterance, clip in zip(table, clips, strict=True) if utterance.speaker in {"s5", "s6"}]
    said = sorted(int(model.student.outputs(clip)[0].argmax()) for clip in held_out)
    assert said == sorted(written(home)["dev"]["predictions"]), "it answers waveforms as it did cached states"
    assert written(home, "checkpoint")["arguments"]["scale"] == 30.0


def test_every_stage_is_resumed(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "run"
    whole = trained(capsys, recipe, "-o", tmp_path / "whole")
    update = Trainee.update_average
    for _ in ("a", "b", "c"):  # stop in the second epoch of whichever stage comes next; what is finished is kept
        steps = iter(range(1, 100))

        def stopped(self: Any, steps: Any = steps) -> None:
            update(self)
            if next(steps) == STEPS_A_EPOCH + 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(Trainee, "update_average", stopped)
        assert sercli(capsys, "train", recipe, "-o", home, "--resume", "-q")[0] == 130
        monkeypatch.setattr(Trainee, "update_average", update)
        # finish that stage, and begin the next, which stops at its first step
        seen = iter(range(1, 100))

        def later(self: Any, seen: Any = seen) -> None:
            if next(seen) == STEPS_A_EPOCH + 1:  # the resumed epoch is done
                raise KeyboardInterrupt
            update(self)

        monkeypatch.setattr(Trainee, "update_average", later)
        code, out, _ = sercli(capsys, "train", recipe, "-o", home, "--resume", "-q")
        monkeypatch.setattr(Trainee, "update_average", update)
    assert (code, out) == (0, whole)
    for stage in ("stage-a-gender", "stage-b-gender-2x4-3x6", "."):
        one, other = (load_file(place / stage / "model.safetensors") for place in (home, tmp_path / "whole"))
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], rtol=0.0, atol=1e-6, err_msg=name)


def test_steps_of_the_ablation_share_their_stages(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = tmp_path / "stages"
    share = f"method.gmp-atl.folder={stages}"
    none = ("method.gmp-atl.scales=[]", "method.gmp-atl.am.s=0")
    plain = ("name=plain", "method.gmp-atl.a=null", *none)
    trained(capsys, recipe, *plain, share, "-o", tmp_path / "plain")
    assert not stages.exists()
    assert "loss_ce" in written(tmp_path / "plain")["history"][-1]
    trained(capsys, recipe, "name=gender", *none, share, "-o", tmp_path / "gender")
    times = {path: path.stat().st_mtime_ns for path in stages.glob("*/model.safetensors")}
    assert [path.parent.name for path in times] == ["stage-a-gender"]
    single = ("name=single", "method.gmp-atl.scales=[[3, 6]]", "method.gmp-atl.am.s=0")
    trained(capsys, recipe, *single, share, "-o", tmp_path / "single")
    assert all(path.stat().st_mtime_ns == time for path, time in times.items()), "stage A is taken as it is"
    assert (stages / "stage-b-gender-3x6" / "checkpoint.json").exists()
    assert not list(tmp_path.glob("single/stage-*"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoder={name: ENCODER}", "encoder.trained_layers: must not be 0"),
        ("encoder.layers=[1]", "encoder.layers: encoder.cached keeps the states of layer 2, not of layer 1 below it"),
        ("method.gmp-atl.scales=[[1, 4]]", "method.gmp-atl.scales: encoder.cached keeps the states of layer 2"),
        ("method.gmp-atl.scales=[[4, 4]]", "method.gmp-atl.scales: "),
        ("method.gmp-atl.scales=[[3, 1]]", "method.gmp-atl.scales: must be of 2 clusters or more each"),
        ("method.gmp-atl.a=null", "method.gmp-atl.a: clusters are of its states; keep it"),
        ("method.gmp-atl.frames=some", "method.gmp-atl.frames: must be one of all, masked"),
        ("method.gmp-atl.scale=[]", "unknown recipe key method.gmp-atl.scale; did you mean method.gmp-atl.scales?"),
        ("method.ce={}", "method.ce: gmp-atl stands alone"),
        ("method={am-softmax: {}}", "method.am-softmax: needs a classifier of cosines; set head.scale"),
        ("outputs={gender: 1}", "outputs: stage A says gender by method.gmp-atl.gender"),
        ("augment.gain_db=3", "augment.gain_db: the states of a frozen encoder are computed once"),
        ("encoder.trained_layers=-1", "encoder.cached: must be false unless encoder.trained_layers is 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(
    recipe: Path, saved: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str,
    message: str,
) -> None:  # fmt: skip
    override = override.replace("ENCODER", str(saved("whisper")))
    code, out, err = sercli(capsys, "train", recipe, override, "-o", tmp_path / "run", "-q")
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


EMOTIONS = {"neu": "sad", "exc": "happy", "ang": "angry", "sad": "sad"}  # IEMOCAP's code to a sound of voices.py


@pytest.fixture
def iemocap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of corpora with IEMOCAP as released: five sessions of two speakers, a turn for each of four classes."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data" / "iemocap"
    for session in range(1, 6):
        dialogue = f"Ses0{session}F_impro01"
        home = root / f"Session{session}"
        sounds = home / "sentences" / "wav" / dialogue
        labels = home / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
        for folder in (sounds, labels.parent):
            folder.mkdir(parents=True)
        rows = []
        for place, (speaker, emotion) in enumerate((s, e) for s in "FM" for e in EMOTIONS):
            name = f"{dialogue}_{speaker}{place:03d}"
            soundfile.write(sounds / f"{name}.wav", voice(EMOTIONS[emotion], 10 * session + place), RATE)
            rows.append(f"[{place}.0000 - {place}.9000]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]\n")
        labels.write_text("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "\n".join(rows))
    return tmp_path / "data"


def test_the_iemocap_recipe_and_a_student_of_its_teachers(
    iemocap: Path, saved: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = (
        *(f"encoder.{key}" for key in (f"name={saved('hubert')}", "revision=''")),
        "head={pooling: attentive, hidden: 8, attention: 4}",
        *(f"method.gmp-atl.{key}" for key in ("scales=[[2, 4], [3, 6]]", "a.epochs=1", "b.epochs=1")),
        "optim.epochs=1",
    )
    common = (RECIPES / "gmp-atl-iemocap.yaml", *smaller, "--data", iemocap, "--fold", "2")
    out = trained(capsys, *common, "-o", tmp_path / "run")
    assert re.fullmatch(r"gmp-atl-iemocap iemocap-loso5 fold 2: UA \d+\.\d\d, WA \d+\.\d\d, 8 clips\n", out)
    fold = tmp_path / "run" / "fold-2"
    for stage in (fold, *fold.glob("stage-*")):
        heard = heard_by(stage / "metrics.json")
        assert heard is not None
        assert {speaker for _, speaker in heard.train} == {f"Ses0{n}{s}" for n in (1, 4, 5) for s in "FM"}
    trained(capsys, *common, "-o", tmp_path / "run", "--resume")  # finished: its figures are read

    student = tmp_path / "student.yaml"
    student.write_text(TINY.format(table="iemocap"), encoding="utf-8")
    taught: tuple[str, ...] = (
        "corpus={labels: iemocap4, sources: [iemocap]}",
        "split={protocol: iemocap-loso5, train_on_dev: false}",
        "augment.mixup_alpha=0",
        "method={kd: {}}",
        "optim.epochs=1",
    )

    def distil(teacher: Path, fold: str) -> tuple[int, str, str]:
        place = tmp_path / f"student-{teacher.name}"
        named = f"teacher={{students: ['{teacher}/fold-{{fold}}']}}"
        return sercli(capsys, "distill", student, *taught, named, "--data", iemocap, "--fold", fold, "-o", place, "-q")

    code, _, err = distil(tmp_path / "run", "2")
    assert code == 1
    assert "has heard iemocap/Ses03F, whom this run holds out" in err, "it selected the teacher's epochs"
    fixed = (*common, "split.train_on_dev=true")
    trained(capsys, *fixed, "-o", tmp_path / "fixed")
    taught = (*taught, "split.train_on_dev=true")
    code, out, err = distil(tmp_path / "fixed", "2")
    assert code == 0, err
    assert "iemocap-loso5 fold 2: UA" in out

    shared = (f"method.gmp-atl.folder={tmp_path / 'stages'}", "method.gmp-atl.scales=[]")
    trained(capsys, *fixed, *shared, "-o", tmp_path / "sharing")
    code, _, err = sercli(capsys, "train", *fixed, *shared, "--fold", "3", "-o", tmp_path / "sharing", "-q")
    assert code == 1
    assert "method.gmp-atl.folder" in err
    assert "has heard iemocap/Ses03" in err, "its name lacks {fold}"

    # with the test speakers' audio in stage B, every result says so, and nobody may be taught by it
    out = trained(capsys, *fixed, "method.gmp-atl.transductive=true", "-o", tmp_path / "transductive")
    assert "transductive: heard the test speakers without labels" in out
    fold = tmp_path / "transductive" / "fold-2"
    assert written(fold)["transductive"] is True
    assert "iemocap" in written(fold)["material"]["train"]
    heard = heard_by(fold / "stage-b-gender-2x4-3x6" / "metrics.json")
    assert heard is not None
    assert ("iemocap", "Ses02F") in heard.train
    code, _, err = distil(tmp_path / "transductive", "2")
    assert code == 1
    assert "has heard iemocap/Ses02" in err

"""Distillation end to end on synthesised voices, with an encoder of random weights as the teacher's ear."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from commands import sercli  # noqa: E402

from sercli.corpora.table import Utterance, read_table  # noqa: E402
from sercli.errors import CorpusError, RecipeError  # noqa: E402
from sercli.evaluation.model import open_model  # noqa: E402
from sercli.training import distil, teacher  # noqa: E402
from sercli.training.learner import Learner  # noqa: E402
from sercli.training.lessons import Lessons, collate_lessons  # noqa: E402
from sercli.training.recipe_teacher import EncoderPart, TeacherPart  # noqa: E402

LABELS = ("happy", "sad", "angry")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture
def recipe(corpus: Path, encoder: Path) -> Path:
    """The tiny recipe of plain training with a teacher, a stage of features before, and several methods."""
    table = corpus.parent / "voices" / "voices.csv"
    text = corpus.read_text(encoding="utf-8").replace("mixup_alpha: 0.3", "mixup_alpha: 0")
    text += f"""
teacher: {{encoders: [{{name: {encoder}, layers: [1, 3]}}], groups: 2, strength: 1.0}}
before:
  - name: features
    method: {{pooled: {{layers: [3]}}}}
    optim: {{epochs: 2, batch: 6, lr: 1e-2}}
    speech: [{table}]
method: [{{ce: {{weight: 0.5}}}}, {{kd: {{weight: 0.5}}}}, pooled, {{distilhubert: {{layers: [1, 3], hidden: 8}}}}]
"""
    corpus.write_text(text, encoding="utf-8")
    return corpus


def test_distil_then_again_without_computing_anything(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = sercli(capsys, "distill", recipe, "-o", tmp_path / "run", "-q")
    assert code == 0, err
    assert out.startswith("tiny: development UA ")
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    last = figures["history"][-1]
    terms = {"loss_ce", "loss_kd", "loss_pooled", "loss_distilhubert.l1", "loss_distilhubert.cosine"}
    assert terms <= set(last)
    assert last["loss"] == pytest.approx(sum(last[term] for term in terms), rel=0.02)
    for folder in (tmp_path / "run", tmp_path / "run" / "stage-features"):
        assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")
    taught = json.loads((tmp_path / "run" / "teacher.json").read_text())
    assert taught["encoders"][0]["layers"] == [1, 3]
    assert set(taught["ua"]) == {"train, cross-fitted", "dev"}

    stage = json.loads((tmp_path / "run" / "stage-features" / "metrics.json").read_text())
    assert [set(entry) & {"loss_pooled", "loss_kd", "eval_ua"} for entry in stage["history"]] == [{"loss_pooled"}] * 2
    # the development speakers' clips of the unlabelled speech were left out, everybody else's were heard
    assert stage["material"]["train"]["voices"]["speakers"] == ["s1", "s2", "s3", "s4"]
    heard = open_model(tmp_path / "run").heard
    assert heard is not None
    assert heard.train == {("voices", f"s{number}") for number in range(1, 5)}

    def nothing(*arguments: Any) -> Any:
        pytest.fail("the cache has it")

    monkeypatch.setattr(teacher, "pooled_states", nothing)
    monkeypatch.setattr(teacher, "frame_states", nothing)
    code, again, err = sercli(capsys, "distill", recipe, "-o", tmp_path / "second", "-q")
    assert (code, again) == (0, out), err


def test_an_interrupted_run_goes_on_in_its_stage(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    update, steps = Learner.update_average, [0]

    def counted(self: Learner) -> None:
        update(self)
        steps[0] += 1
        if steps[0] == 2 * 12 + 9:  # in the second epoch of the main stage: 72 clips of the two tables make 12 steps
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update_average", counted)
        assert sercli(capsys, "distill", recipe, "-o", tmp_path / "run", "-q")[0] == 130
    assert (tmp_path / "run" / "stage-features" / "checkpoint.json").exists()
    stamp = (tmp_path / "run" / "stage-features" / "model.safetensors").stat().st_mtime_ns
    code, out, err = sercli(capsys, "distill", recipe, "-o", tmp_path / "run", "-q", "--resume")
    assert code == 0, err
    assert (tmp_path / "run" / "stage-features" / "model.safetensors").stat().st_mtime_ns == stamp
    code, whole, _ = sercli(capsys, "distill", recipe, "-o", tmp_path / "whole", "-q")
    assert (code, whole) == (0, out)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.encoders=[]", "names no teacher; train it plainly with `sercli train`"),
        ("teacher={students: [micro]}", "teacher.encoders: a method learns from an encoder's states; name one"),
        ("method={kd: {layers: [1]}}", "unknown recipe key method.kd.layers"),
        ("method={pooled: {layers: [2]}}", "method.pooled: the teacher gives no layer 2; it gives 1, 3"),
        ("method={dist: {}}", "optim.batch: method.dist compares the clips of a batch and needs 8 or more, not 6"),
        ("augment.mixup_alpha=0.2", "method.distilhubert: frames of two clips cannot be blended"),
        ("teacher.groups=5", "4 training speakers cannot make 5 groups; lower teacher.groups"),
        ("teacher.pooling=max", "teacher.pooling: must be one of mean, statistics, not 'max'"),
        ("before=[{name: a}, {name: a}]", "before: give every stage a name of its own"),
    ],
)
def test_what_does_not_fit_is_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    code, out, err = sercli(capsys, "distill", recipe, override, "-o", tmp_path / "run", "-q")
    assert (code, out) in {(1, ""), (2, "")}
    assert message in err
    assert "Traceback" not in err


def test_train_does_not_take_a_teacher(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = sercli(capsys, "train", recipe)
    assert code == 2
    assert "names a teacher; use `sercli distill`" in err


def test_a_student_teaches_a_student(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ("teacher={}", "before=[]", "method={ce: {}}")
    code, _, err = sercli(capsys, "train", recipe, *plain, "-o", tmp_path / "first", "-q")
    assert code == 0, err
    taught = (f"teacher={{students: [{tmp_path / 'first'}]}}", "before=[]", "method={kd: {weight: 1.0}}")
    dev = "split.dev_speakers={voices: [s5, s6]}"  # they selected the first, so they cannot select the second
    code, _, err = sercli(capsys, "distill", recipe, *taught, dev, "-o", tmp_path / "second", "-q")
    assert code == 1
    assert "has heard voices/s5, whom this run holds out" in err
    other = "split.dev_speakers={voices: [s1]}"
    code, _, err = sercli(capsys, "distill", recipe, *taught, other, "-o", tmp_path / "second", "-q")
    assert code == 1
    assert "has heard voices/s1, whom this run holds out" in err
    code, _, err = sercli(
        capsys, "distill", recipe, *taught, "teacher.students=[micro]", "corpus.labels=ravdess8", "-o", tmp_path / "x"
    )
    assert code == 2
    assert "micro has no label calm" in err

    # micro has heard none of these voices and may teach them all
    code, _, err = sercli(capsys, "distill", recipe, *taught, "teacher.students=[micro]", "-o", tmp_path / "y", "-q")
    assert code == 0, err
    facts = json.loads((tmp_path / "y" / "teacher.json").read_text())
    assert (facts["encoders"], facts["students"]) == ([], [{"name": "micro", "weight": 1.0}])


def states(utterances: list[Utterance], seed: int = 0) -> teacher.Heard:
    """States that tell the classes apart, with a mark of each speaker that a probe would learn by heart."""
    random = np.random.default_rng(seed)
    pooled = random.normal(0.0, 0.3, (len(utterances), 2, 8)).astype(np.float16)
    for row, utterance in enumerate(utterances):
        pooled[row, :, LABELS.index(utterance.emotion)] += 1.0
        pooled[row, :, 3 + int(utterance.speaker[1]) % 5] += 1.0
    return teacher.Heard(EncoderPart("x"), (1, 2), pooled, lambda number: pooled[number][None])


def people(each: int = 6) -> list[Utterance]:
    return [
        Utterance(f"/{speaker}-{emotion}-{take}.wav", corpus="x", speaker=speaker, emotion=emotion)
        for speaker in ("s1", "s2", "s3", "s4", "s5", "s6")
        for emotion in LABELS
        for take in range(each)
    ]


def test_no_clip_is_answered_by_a_probe_that_has_heard_its_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = people()
    train = np.array([utterance.speaker != "s6" for utterance in utterances])
    heard = states(utterances)
    spoken: list[tuple[set[bytes], set[bytes]]] = []
    fit, answer = teacher.Probe.__init__, teacher.Probe.logits

    def noted_fit(self: Any, strength: float, features: Any, *rest: Any) -> None:
        fit(self, strength, features, *rest)
        self.fitted = {row.tobytes() for row in features}

    def noted_answer(self: Any, features: Any) -> Any:
        spoken.append((self.fitted, {row.tobytes() for row in features}))
        return answer(self, features)

    monkeypatch.setattr(teacher.Probe, "__init__", noted_fit)
    monkeypatch.setattr(teacher.Probe, "logits", noted_answer)
    logits = teacher.probe_logits(TeacherPart(groups=2, strength=1.0), [heard], utterances, train, LABELS)
    pooled = heard.pooled.astype(np.float32).reshape(len(utterances), -1)
    row_of = {row.tobytes(): u.speaker for row, u in zip(pooled, utterances, strict=True)}
    for fitted, answered in spoken:
        assert not {row_of[row] for row in fitted} & {row_of[row] for row in answered}
    assert sum(len(answered) for _, answered in spoken) == len(utterances)
    targets = np.array([LABELS.index(utterance.emotion) for utterance in utterances])
    assert (logits.argmax(axis=1) == targets).mean() > 0.9

    # nothing about a test speaker reaches the others' logits
    other = states(utterances)
    other.pooled[~train] += 5.0
    again = teacher.probe_logits(TeacherPart(groups=2, strength=1.0), [other], utterances, train, LABELS)
    assert np.array_equal(again[train], logits[train])
    assert not np.array_equal(again[~train], logits[~train])


def test_speakers_of_every_corpus_are_spread_over_the_groups() -> None:
    utterances = [
        Utterance(f"/{corpus}{number}.wav", corpus=corpus, speaker=str(number))
        for corpus in "ab"
        for number in range(5)
    ]
    train = np.array([utterance.speaker != "4" for utterance in utterances])
    groups = teacher.speaker_groups(utterances, train, 4, seed=1)
    assert sorted(groups[:4]) == sorted(groups[5:9]) == [0, 1, 2, 3]
    assert groups[4] == groups[9] == -2
    assert np.array_equal(groups, teacher.speaker_groups(utterances, train, 4, seed=1))
    with pytest.raises(CorpusError, match="8 training speakers cannot make 9 groups"):
        teacher.speaker_groups(utterances, train, 9, seed=1)


def test_two_classes_and_classes_without_clips() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0.0, 1.0, (40, 5)).astype(np.float32)
    targets = np.array([1, 3] * 20)
    features[:, 0] += targets
    probe = teacher.Probe(1.0, features, targets, 4, np.ones(40))
    logits = probe.logits(features)
    assert logits.shape == (40, 4)
    assert set(logits.argmax(axis=1)) == {1, 3}
    assert (logits.argmax(axis=1) == targets).mean() > 0.8
    expected = probe.model.predict_proba(probe._standardised(features))
    shares = torch.softmax(torch.from_numpy(logits[:, [1, 3]]), dim=1).numpy()
    np.testing.assert_allclose(shares, expected, atol=1e-5)


def test_a_lesson_follows_the_stretch_that_is_heard() -> None:
    frames = np.arange(10, dtype=np.float16)[:, None, None] * np.ones((10, 2, 3), np.float16)
    lessons = Lessons(np.eye(2, dtype=np.float32), np.ones((2, 2, 3), np.float16), lambda number: frames[: 10 - number])
    whole = lessons.of(0, 0.0, 1.0)
    assert np.array_equal(whole["frames"], frames)
    assert np.array_equal(whole["logits"], [1.0, 0.0])
    assert lessons.of(0, 0.25, 0.75)["frames"][:, 0, 0].tolist() == [2, 3, 4, 5, 6, 7]
    assert lessons.of(0, 0.999, 1.0)["frames"][:, 0, 0].tolist() == [9]
    batch = collate_lessons([lessons.of(0, 0.0, 0.5), lessons.of(1, 0.0, 1.0)])
    assert batch["teacher_counts"].tolist() == [5, 9]
    assert batch["teacher_frames"].shape == (2, 9, 2, 3)
    assert not batch["teacher_frames"][0, 5:].any()
    assert batch["teacher_logits"].dtype == torch.float32
    assert collate_lessons([{}, {}]) == {}


def test_without_encoders_there_is_nothing_to_distil(corpus: Path, tmp_path: Path) -> None:
    from sercli.corpora.splits import Split
    from sercli.training.recipe_file import load_recipe

    utterances = read_table(corpus.parent / "voices" / "voices.csv")
    with pytest.raises(RecipeError, match="teacher: name an encoder or a student"):
        distil.distil(load_recipe(corpus), Split(utterances, [], []), tmp_path / "run")


def test_a_stage_without_the_runs_own_clips_is_trained_once_for_all_folds(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sercli.corpora.splits import Split
    from sercli.training.recipe_file import load_recipe

    clips = read_table(recipe.parent / "voices" / "voices.csv")
    voice = {name: [clip for clip in clips if clip.speaker == name] for name in ("s1", "s2", "s3", "s4")}
    speech = [dataclasses.replace(clip, corpus="elsewhere", speaker="x", emotion="") for clip in voice["s4"]]
    text = recipe.read_text(encoding="utf-8").replace("- name: features", "- name: features\n    own: false")
    recipe.write_text(text, encoding="utf-8")
    resolved = load_recipe(recipe, ["split.train_on_dev=true", "optim.epochs=1"])
    split = Split([*voice["s1"], *voice["s2"]], [], voice["s3"])
    first = distil.distil(resolved, split, tmp_path / "fold-1", [speech], shared=tmp_path)
    heard = json.loads((tmp_path / "stage-features" / "metrics.json").read_text())["material"]["train"]
    assert heard == {"elsewhere": {"utterances": len(speech), "speakers": ["x"]}}
    assert json.loads((first.folder / "metrics.json").read_text())["material"]["train"].keys() == {
        "elsewhere",
        "voices",
    }
    stamp = (tmp_path / "stage-features" / "model.safetensors").stat().st_mtime_ns
    split = Split([*voice["s3"], *voice["s2"]], [], voice["s1"])
    distil.distil(resolved, split, tmp_path / "fold-2", [speech], shared=tmp_path)
    assert (tmp_path / "stage-features" / "model.safetensors").stat().st_mtime_ns == stamp
    alone = distil.distil(resolved, split, tmp_path / "alone", [speech])  # the same, computed anew
    assert (alone.folder / "model.safetensors").read_bytes() == (tmp_path / "fold-2" / "model.safetensors").read_bytes()

    with pytest.raises(RecipeError, match=r"before.features.speech: voices is a corpus of the run; take it out"):
        distil.distil(resolved, split, tmp_path / "leak", [[*speech, *voice["s2"]]])
    with pytest.raises(RecipeError, match=r"before.features: hears nothing; name corpora in speech"):
        distil.distil(resolved, split, tmp_path / "empty", [[]])
    probed = dataclasses.replace(resolved.before[0], method={"pooled": {}, "kd": {}})
    with pytest.raises(RecipeError, match=r"before.features: the teacher.s logits are of one fold alone"):
        distil.distil(dataclasses.replace(resolved, before=(probed,)), split, tmp_path / "probed", [speech])


def test_speech_without_labels_is_heard_beside_the_runs_own_clips(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sercli.corpora.splits import Split
    from sercli.training.recipe_file import load_recipe

    clips = read_table(recipe.parent / "voices" / "voices.csv")
    voice = {name: [clip for clip in clips if clip.speaker == name] for name in ("s1", "s2", "s3", "s4")}
    elsewhere = [dataclasses.replace(clip, corpus="elsewhere", speaker="x", emotion="") for clip in voice["s4"]]
    # the run's own and its test speaker's again
    silent = [dataclasses.replace(clip, emotion="") for part in voice.values() for clip in part]
    resolved = load_recipe(
        recipe, ["before=[]", "method=[ce, kd]", "split.train_on_dev=true", "optim.epochs=1", "optim.balance=none"]
    )
    seen: list[tuple[float, float]] = []
    real = Learner.forward

    @functools.wraps(real)  # transformers looks at what forward takes
    def noted(self: Learner, **batch: torch.Tensor) -> Any:
        if self.training:
            unlabelled = batch["labels"] < 0
            seen.extend((float(u), float(k.float().mean())) for u, k in zip(unlabelled, batch["known"], strict=True))
        return real(self, **batch)

    monkeypatch.setattr(Learner, "forward", noted)
    split = Split([*voice["s1"], *voice["s2"]], [], voice["s3"])
    trained = distil.distil(resolved, split, tmp_path / "run", beside=[*elsewhere, *silent])
    heard = open_model(trained.folder).heard
    assert heard is not None
    assert heard.train == {("voices", "s1"), ("voices", "s2"), ("voices", "s4"), ("elsewhere", "x")}
    own, extra = len(split.train), len(elsewhere) + len(voice["s4"])
    assert (len(seen), sum(unlabelled for unlabelled, _ in seen)) == (own + extra, extra)
    assert {known for unlabelled, known in seen if unlabelled} == {1.0}  # the teacher may say any class


def test_the_teacher_hears_each_copy_as_the_student_does(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    real = teacher.pooled_states

    def counted(encoder: Any, clip: np.ndarray, pooling: str) -> Any:
        lengths.append(len(clip))
        return real(encoder, clip, pooling)

    monkeypatch.setattr(teacher, "pooled_states", counted)
    plain = ("distill", recipe, "before=[]", "method=[ce, kd]", "-q", "-o")
    assert sercli(capsys, *plain, tmp_path / "plain")[0] == 0
    own, training = sorted(lengths), json.loads((tmp_path / "plain" / "metrics.json").read_text())["material"]["train"]
    assert sercli(capsys, *plain, tmp_path / "copies", "augment.copies=[0.8]")[0] == 0
    added = lengths[len(own) :]
    assert len(added) == sum(corpus["utterances"] for corpus in training.values())  # development speakers have none
    assert min(added) >= 1.24 * own[0]
    history = json.loads((tmp_path / "copies" / "metrics.json").read_text())
    assert history["material"]["train"] == training

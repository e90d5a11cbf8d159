"""A teacher trained in the student's own run, end to end on synthesised voices; DKDFMH in both of its topologies."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from commands import sercli  # noqa: E402

from sercli.corpora.splits import Split  # noqa: E402
from sercli.corpora.table import Utterance, read_table  # noqa: E402
from sercli.errors import LeakError, RecipeError  # noqa: E402
from sercli.methods import build_methods  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.models.student import StudentNetwork  # noqa: E402
from sercli.training.distil import distil  # noqa: E402
from sercli.training.learner import Learner  # noqa: E402
from sercli.training.recipe import AugmentPart, Recipe  # noqa: E402
from sercli.training.recipe_file import load_recipe  # noqa: E402
from sercli.training.run import for_fold, train_fold  # noqa: E402
from sercli.training.trainer import fitted_methods  # noqa: E402

SIZES = {"stem": 4, "blocks": [[4, 2], [6, 2], [8, 1]], "sets": 2, "heads": 1, "embedding": 6}
FMHA = f"student={{architecture: cnn-fmha, size: nano, arguments: {json.dumps(SIZES)}}}"
SCHEDULE = "{epochs: 2, batch: 6, lr: 1e-2}"
OWN = (
    FMHA,
    f"teacher={{own: {{{FMHA.replace('=', ': ')}, method: {{ce: {{exits: 1}}}}, optim: {SCHEDULE}}}}}",
    "teacher.own.student.arguments.heads=2",
    "method={ce: {exits: 1}, dkdfmh: {beta: 1, warmup: 1}}",
    "optim.epochs=2",
)
TEACHER_STEPS = 6  # of 36 clips an epoch


@pytest.fixture
def voices(corpus: Path) -> Callable[..., list[Utterance]]:
    clips = read_table(corpus.parent / "voices" / "voices.csv")
    return lambda *names: [clip for clip in clips if clip.speaker in names]


def test_one_command_trains_the_teacher_and_then_the_student(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = sercli(capsys, "distill", corpus, *OWN, "-o", tmp_path / "run", "-q")
    assert code == 0, err
    assert out.startswith("tiny: development UA ")
    teacher, student = (
        json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run" / "teacher", tmp_path / "run")
    )
    assert [entry["loss_ce.exits"] > 0 for entry in teacher["history"]] == [True, True]
    last = student["history"][-1]
    terms = ("loss_ce", "loss_ce.exits", "loss_dkdfmh.tckd", "loss_dkdfmh.nckd")
    assert all(last[term] > 0 for term in terms)
    assert last["loss"] == pytest.approx(sum(last[term] for term in terms), rel=0.02)
    # the development speakers select the student, and nobody selects the teacher, which has not heard them
    assert teacher["material"]["train"]["voices"]["speakers"] == ["s1", "s2", "s3", "s4"]
    assert (teacher["material"]["dev"], teacher["dev"], teacher["best_epoch"]) == ({}, None, None)
    assert student["material"]["dev"]["voices"]["speakers"] == ["s5", "s6"]
    facts = json.loads((tmp_path / "run" / "teacher.json").read_text())
    weights = json.loads((tmp_path / "run" / "teacher" / "checkpoint.json").read_text())
    assert facts["own"]["parameters"] == weights["parameters"]
    assert (tmp_path / "run" / "teacher" / "history.png").exists()


def test_the_deepest_set_teaches_without_a_teacher(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = "method={ce: {exits: 1}, dkdfmh: {topology: self, beta: 1, warmup: 0}}"
    code, _, err = sercli(capsys, "train", corpus, FMHA, method, "optim.epochs=2", "-o", tmp_path / "run", "-q")
    assert code == 0, err
    last = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"][-1]
    assert last["loss_dkdfmh.tckd"] > 0
    assert last["loss_dkdfmh.nckd"] > 0


def test_a_run_goes_on_where_its_teacher_was_killed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    update, steps = Learner.update_average, [0]

    def counted(self: Learner) -> None:
        update(self)
        steps[0] += 1
        if steps[0] == TEACHER_STEPS + 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update_average", counted)
        assert sercli(capsys, "distill", corpus, *OWN, "-o", tmp_path / "run", "-q")[0] == 130
    assert not (tmp_path / "run" / "teacher" / "checkpoint.json").exists()
    code, out, err = sercli(capsys, "distill", corpus, *OWN, "-o", tmp_path / "run", "-q", "--resume")
    assert code == 0, err
    code, whole, _ = sercli(capsys, "distill", corpus, *OWN, "-o", tmp_path / "whole", "-q")
    assert (code, whole) == (0, out)
    for part in ("teacher", ""):
        one, other = (tmp_path / name / part / "model.safetensors" for name in ("run", "whole"))
        assert one.read_bytes() == other.read_bytes()
    (tmp_path / "run" / "recipe.yaml").unlink()  # as if it had been killed before the student began
    other = "teacher.own.optim.epochs=3"
    code, _, err = sercli(capsys, "distill", corpus, *OWN, other, "-o", tmp_path / "run", "-q", "--resume")
    assert code == 1
    assert "teacher/recipe.yaml: differs from the recipe asked for" in err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.own.student.arguments.sets=3", "the teacher has 3 attention sets and the student 2"),
        ("teacher.own.student.arguments.mels=40", "teacher.own.student.arguments.mels: is 40 and the student's 64"),
        ("teacher.own.student.start=micro", "teacher.own.student.start: must be empty, not 'micro'"),
        ("teacher.students=[micro]", "teacher.own: teaches alone; leave out teacher.own or teacher.students"),
        ("teacher.own.folder=runs/{fold}", "{fold} stands in the name of a model; name one"),
        ("method={ce: {}, pooled: {}}", "method.pooled: the teacher gives no layers"),
        ("student={size: nano, arguments: {mels: 64}}", "method.ce.exits: the student has one classifier; set it to 0"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    code, out, err = sercli(capsys, "distill", corpus, *OWN, override, "-o", tmp_path / "run", "-q")
    assert (code, out) in {(1, ""), (2, "")}
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_folds_share_no_teacher_and_students_of_a_fold_may(
    corpus: Path, tmp_path: Path, voices: Callable[..., list[Utterance]]
) -> None:
    place = f"teacher.own.folder={tmp_path}/teachers/fold-{{fold}}"
    recipe = load_recipe(corpus, [*OWN, place, "split.train_on_dev=true", "optim.epochs=1"])
    first = Split(voices("s1", "s2"), voices("s3"), voices("s4"))
    train_fold(for_fold(recipe, "1"), first, tmp_path / "a" / "fold-1", None, quiet=True)
    weights = tmp_path / "teachers" / "fold-1" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    heard = json.loads((weights.parent / "metrics.json").read_text())
    assert heard["material"]["train"]["voices"]["speakers"] == ["s1", "s2", "s3"]
    taught = json.loads((tmp_path / "a" / "fold-1" / "teacher.json").read_text())
    assert taught["ua"] == {"test": heard["test"]["ua"]}
    control = load_recipe(corpus, [*OWN, place, "split.train_on_dev=true", "optim.epochs=1", "method={ce: {}, kd: {}}"])
    train_fold(for_fold(control, "1"), first, tmp_path / "b" / "fold-1", None, quiet=True)
    assert weights.stat().st_mtime_ns == stamp
    # a teacher of one fold has heard the test speakers of another
    second = Split(voices("s3", "s4"), [], voices("s1"))
    with pytest.raises(LeakError, match=r"teacher.own.folder: .*fold-1 has heard voices/s1, whom this run holds out"):
        train_fold(for_fold(recipe, "1"), second, tmp_path / "c" / "fold-2", None, quiet=True)


def test_the_number_of_the_fold_is_filled_into_names_of_models() -> None:
    values = ["teacher.students=[{name: 'runs/t/fold-{fold}'}, micro]", "student.start=runs/s/fold-{fold}"]
    recipe = load_recipe(Path("zoo/recipes/ravdess-nano.yaml"), values)
    filled = for_fold(recipe, "3")
    assert [one.name for one in filled.teacher.students] == ["runs/t/fold-3", "micro"]
    assert filled.student.start == "runs/s/fold-3"
    assert for_fold(filled, "4") == filled


def test_a_stage_that_folds_share_learns_nothing_from_a_teacher_of_one_fold(
    corpus: Path, tmp_path: Path, voices: Callable[..., list[Utterance]]
) -> None:
    stage = "before=[{name: a, method: {kd: {}}, own: false, optim: {epochs: 1}}]"
    recipe = load_recipe(corpus, [*OWN, stage])
    split = Split(voices("s1", "s2"), voices("s3"), [])
    with pytest.raises(RecipeError, match=r"before\.a: the teacher's logits are of one fold alone"):
        distil(recipe, split, tmp_path / "run", [voices("s4")], quiet=True)


def network(recipe: Recipe, seed: int) -> StudentNetwork:
    torch.manual_seed(seed)
    return students.build(students.arguments_from(SIZES, "nano", "cnn-fmha"), 3)


def test_the_teacher_hears_what_the_student_hears_mixed_clips_too(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(corpus, [FMHA, "method={dkdfmh: {warmup: 0}}"])
    student, teacher = network(recipe, 0), network(recipe, 1)
    from sercli.methods.base import TeacherShapes

    methods = fitted_methods(recipe, student, TeacherShapes(3, 0, (), exits=2), 6)
    augment = AugmentPart(mixup_alpha=1.0, mixup_probability=1.0)
    learner = Learner(student, methods, augment, teacher=teacher).train()
    heard: dict[str, list[torch.Tensor]] = {"student": [], "teacher": []}
    for name, one in (("student", student), ("teacher", teacher)):
        body = one.body

        def noted(log_mel: torch.Tensor, *rest: object, name: str = name, body: object = body) -> object:
            heard[name].append(log_mel)
            return body(log_mel, *rest)  # type: ignore[operator]

        monkeypatch.setattr(one, "body", noted)
    clips = torch.randn(6, 8_000, generator=torch.Generator().manual_seed(0)) * 0.1
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    labels, known = torch.tensor([0, 1, 2, 0, 1, 2]), torch.ones(6, 3, dtype=torch.bool)
    loss = learner(clips, torch.full((6,), 8_000), labels, torch.ones(6), known)["loss"]
    loss.backward()
    (taught,), (mixed,) = heard["teacher"], heard["student"]
    assert torch.equal(taught, mixed)
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is not None for name, parameter in student.named_parameters() if "classifier" in name)
    assert build_methods({"dkdfmh": {"topology": "self"}})[0][1].needs == frozenset()

"""nsl end to end on synthesised voices: a source model, its graph of the training clips, a student, the picture."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
pytest.importorskip("sklearn", reason='needs the extra "train"')

from safetensors.torch import load_file  # noqa: E402
from voices import write_corpus  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.methods import build_methods  # noqa: E402
from sercli.models import students  # noqa: E402
from sercli.training.learner import Learner  # noqa: E402
from sercli.training.neighbours import load_graph  # noqa: E402
from sercli.training.recipe import AugmentPart  # noqa: E402

SHORT = ("optim.epochs=2", "augment.mixup_alpha=0")
NSL = "method={ce: {}, nsl: {multiplier: 0.5}}"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sercli(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([*map(str, arguments)])
        streams = capsys.readouterr()
        return int(code), streams.out, streams.err

    return call


@pytest.fixture
def source(corpus: Path, tmp_path: Path, sercli: Command) -> Path:
    """A student of another corpus, whose speakers have other names."""
    table = write_corpus(tmp_path / "others", clips=2)
    table.write_text(table.read_text(encoding="utf-8").replace(",voices,s", ",others,t"), encoding="utf-8")
    overrides = (f"corpus.sources=[{{name: {table}}}]", "split.dev_speakers={others: [t5, t6]}", "optim.epochs=2")
    code, _, err = sercli("train", corpus, *overrides, "-o", tmp_path / "source", "-q")
    assert code == 0, err
    return tmp_path / "source"


def test_a_student_learns_from_its_graph_and_the_graph_can_be_looked_into(
    corpus: Path, source: Path, tmp_path: Path, sercli: Command
) -> None:
    graph = f"graph={{model: {source}, threshold: 0.8, neighbors: 2}}"
    small = "student={architecture: mobilenet15, arguments: {stem: 4, blocks: [[6, 2]], embedding: 8}}"
    run_folder = tmp_path / "run"
    code, out, err = sercli("train", corpus, *SHORT, graph, NSL, small, "optim.workers=1", "-o", run_folder, "-q")
    assert code == 0, err
    assert out.startswith("tiny: development UA ")
    metrics = json.loads((run_folder / "metrics.json").read_text())
    last = metrics["history"][-1]
    assert last["loss_nsl"] > 0
    assert last["loss"] == pytest.approx(last["loss_ce"] + last["loss_nsl"], rel=0.02)
    found = load_graph(run_folder)
    assert set(found.speakers) == {f"voices/s{number}" for number in range(1, 5)}, "training speakers alone"
    assert metrics["graph"]["edges"] > 0

    picture = tmp_path / "graph.png"
    code, out, err = sercli("corpus", "graph", run_folder, "--plot", picture)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"clips: 36, isolated {metrics['graph']['isolated']}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, out, _ = sercli("corpus", "graph", run_folder / "graph.npz", "--format", "json")
    assert (code, json.loads(out)) == (0, metrics["graph"])


def test_multiplier_zero_is_plain_training_bit_for_bit(
    corpus: Path, source: Path, tmp_path: Path, sercli: Command
) -> None:
    """Noise, speed, gain, masks and dropout are all at work, and the neighbours go through the network."""
    graph = f"graph={{model: {source}, threshold: 0.5}}"
    nothing, something = (NSL.replace("0.5", figure) for figure in ("0", "1"))
    for name, overrides in (("plain", ()), ("zero", (graph, nothing)), ("nsl", (graph, something))):
        code, _, err = sercli("train", corpus, *SHORT, *overrides, "-o", tmp_path / name, "-q")
        assert code == 0, err
    plain, zero, nsl = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "zero", "nsl"))
    assert plain.keys() == zero.keys()
    assert all(torch.equal(zero[name], value) for name, value in plain.items())
    assert not torch.equal(nsl["classifier.weight"], plain["classifier.weight"])
    histories = [json.loads((tmp_path / name / "metrics.json").read_text())["history"] for name in ("plain", "zero")]
    assert histories[0][-1]["loss_ce"] == histories[1][-1]["loss_ce"]
    assert load_graph(tmp_path / "zero").degrees.any()


def test_a_frozen_student_keeps_the_features_it_began_with(
    corpus: Path, source: Path, tmp_path: Path, sercli: Command
) -> None:
    frozen = (f"student.start={source}", "student.frozen=true", "optim.average=0")
    code, _, err = sercli("train", corpus, *SHORT, *frozen, "-o", tmp_path / "run", "-q")
    assert code == 0, err
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "run"))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    code, _, err = sercli("train", corpus, "student.frozen=true", "-o", tmp_path / "none", "-q")
    assert (code, "student.frozen: must be false unless student.start names a student" in err) == (2, True)


def test_refusals(corpus: Path, tmp_path: Path, sercli: Command, source: Path) -> None:
    def refused(*overrides: str) -> str:
        code, out, err = sercli("train", corpus, *overrides, "-o", tmp_path / "refused", "-q")
        assert (code != 0, out) == (True, "")
        return err

    graph = f"graph={{model: {source}}}"
    assert "graph: method.nsl compares neighbours; name graph.model or graph.encoder" in refused(*SHORT, NSL)
    assert "method.nsl: a blend of two clips has no neighbours; set augment.mixup_alpha to 0" in refused(NSL, graph)
    assert "graph.threshold: must be above 0, at most 1, not 1.5" in refused("graph.threshold=1.5")
    assert "graph: name a model or an encoder, not both" in refused("graph={model: micro, encoder: x}")
    heard = json.loads((source / "metrics.json").read_text())
    heard["material"]["train"]["voices"] = {"utterances": 1, "speakers": ["s6"]}
    (source / "metrics.json").write_text(json.dumps(heard))
    message = refused(*SHORT, NSL, graph)
    assert f"graph.model: {source} has heard voices/s6, whom this run holds out" in message
    assert not (tmp_path / "refused").exists(), "refused before anything is done"


def batch_of(*edges: list[float]) -> dict[str, torch.Tensor]:
    """A batch of clips of half a second of noise, one for each list of edge weights, and neighbours alike."""
    torch.manual_seed(1)
    weights = torch.tensor(edges)
    return {
        "waveform": torch.randn(len(edges), 8_000) / 10,
        "lengths": torch.full((len(edges),), 8_000),
        "labels": torch.arange(len(edges)) % 3,
        "weights": torch.ones(len(edges)),
        "known": torch.ones(len(edges), 3, dtype=torch.bool),
        "neighbour_waveform": torch.randn(*weights.shape, 8_000) / 10,
        "neighbour_lengths": torch.full(weights.shape, 8_000) * (weights > 0),
        "edge_weights": weights,
    }


def step(batch: dict[str, torch.Tensor]) -> tuple[Learner, dict[str, float]]:
    torch.manual_seed(0)
    arguments = students.arguments_from({"stem": 4, "blocks": [[6, 2]], "embedding": 8}, architecture="mobilenet15")
    methods = build_methods({"ce": {}, "nsl": {"multiplier": 1}})
    learner = Learner(students.build(arguments, 3), methods, AugmentPart()).train()
    learner(**batch)["loss"].backward()
    return learner, learner.take_terms()


def test_slots_without_a_neighbour_are_never_heard() -> None:
    batch = batch_of([0.9, 0.0], [0.95, 0.92], [0.0, 0.0])
    learner, terms = step(batch)
    assert 0 < terms["nsl"] < 2
    batch["neighbour_waveform"][batch["edge_weights"] == 0] = torch.nan
    again, same = step(batch)
    assert same == terms
    for one, other in zip(learner.parameters(), again.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("edges", [([0.0], [0.0]), ([0.9], [0.0])])
def test_a_batch_with_less_than_two_neighbours_learns_from_labels_alone(edges: tuple[list[float], ...]) -> None:
    learner, terms = step(batch_of(*edges))
    assert terms["nsl"] == 0.0
    assert all(parameter.grad.isfinite().all() for parameter in learner.parameters())

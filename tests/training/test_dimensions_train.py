"""Students that rate arousal, valence and dominance: the loss, its guards, a run, its bundle and its card."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from voices import write_corpus  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.errors import CorpusError, RecipeError  # noqa: E402
from sercli.training.outputs import check_outputs, output_loss  # noqa: E402

RATED = "outputs={dimensions: 1.0}"
BATCH = "optim.batch=32"


def three(values: list[float]) -> Any:
    return torch.tensor(values)[:, None].expand(-1, 3)


def test_the_loss_is_one_minus_the_golden_ccc() -> None:
    found = output_loss("dimensions", three([1.1, 1.9, 3.2, 3.6]), three([1.0, 2.0, 3.0, 4.0]))
    assert float(found) == pytest.approx(1.0 - 0.975610, abs=1e-6)


def test_ratings_that_do_not_differ_teach_nothing() -> None:
    said = torch.rand(32, 3, requires_grad=True)
    aims = torch.full((32, 3), 0.5) + 1e-6 * torch.randn(32, 3)
    loss = output_loss("dimensions", said, aims)
    assert loss.item() == 1.0
    loss.backward()  # type: ignore[no-untyped-call]
    assert not said.grad.any()


def test_unknown_ratings_count_nothing() -> None:
    said, aims = torch.rand(8, 3), torch.rand(8, 3)
    whole = output_loss("dimensions", said, aims)
    unknown = torch.full((8, 3), math.nan)
    torch.testing.assert_close(whole, output_loss("dimensions", said.repeat(2, 1), torch.cat([aims, unknown])))
    assert float(output_loss("dimensions", said, unknown)) == 0.0


def test_what_cannot_be_asked_of_a_student_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"optim.batch: outputs.dimensions compares 32 clips or more a step, not 31"):
        check_outputs({"dimensions": 1.0}, 31)
    with pytest.raises(RecipeError, match=r"outputs.gender: .* a student may have dimensions"):
        check_outputs({"gender": 1.0}, 32, ("dimensions",))


def sercli(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = run([*map(str, arguments)])
    streams = capsys.readouterr()
    assert code == 0, streams.err
    return streams.out


@pytest.fixture
def rated_corpus(corpus: Path, tmp_path: Path) -> Path:
    """Arousal and valence follow the class; a clip of `angry` in three has ratings but a word without a place."""
    table = tmp_path / "voices" / "voices.csv"
    head, *rows = table.read_text().splitlines()
    ratings = {"happy": "0.7,0.9", "sad": "0.2,0.1", "angry": "0.9,0.3"}
    rated = [f"{row},{ratings[row.split(',')[3]]}" for row in rows]
    rated = [row.replace(",angry,", ",other,") if row.endswith("-0.wav") or "-angry-0" in row else row for row in rated]
    table.write_text("\n".join([f"{head},arousal,valence", *rated]) + "\n")
    return corpus


def test_a_student_learns_to_rate_and_keeps_it_in_its_bundle(
    rated_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    options = (RATED, BATCH, "optim.epochs=30", "corpus.rated=true", "augment={mel_shift: 1}")
    sercli(capsys, "train", rated_corpus, *options, "-o", tmp_path / "run", "-q")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["material"]["train"]["voices"]["utterances"] == 36, "the rated clips without a label are heard too"
    assert metrics["dev"]["clips"] == 16, "but no label is counted for them"
    assert metrics["dev"]["dimensions"]["clips"] == 18
    assert metrics["dev"]["dimensions"]["arousal"] > 0.4
    assert "loss_dimensions" in metrics["history"][-1]

    sercli(capsys, "export", tmp_path / "run", "-o", tmp_path / "bundle")
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["heads"] == {"logits": 7, "dimensions": 3}
    session = onnxruntime.InferenceSession(tmp_path / "bundle" / "model.onnx")
    assert [node.name for node in session.get_outputs()] == ["logits", "embedding", "dimensions"]
    assert "derived" not in (tmp_path / "bundle" / "README.md").read_text()

    clip = tmp_path / "voices" / "s5-happy-0.wav"
    (row,) = map(json.loads, sercli(capsys, "predict", clip, "-m", tmp_path / "bundle").splitlines())
    (wide,) = map(json.loads, sercli(capsys, "predict", clip, "-m", tmp_path / "bundle", "--scale", 1, 7).splitlines())
    assert 0.0 < row["arousal"] < 1.0
    assert wide["arousal"] == pytest.approx(1.0 + 6.0 * row["arousal"], abs=1e-5)

    found = json.loads(
        sercli(capsys, "eval", tmp_path / "bundle", "--table", tmp_path / "voices" / "voices.csv", "-f", "json", "-q")
    )
    assert found["figures"]["dimensions"]["arousal"]["ccc"]["value"] > 0.4


def test_derived_ratings_are_named_so(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (RATED, BATCH, "optim.epochs=1", "export.int8=false")
    code = run(["train", str(corpus), *options, "-o", str(tmp_path / "bare"), "-q"])
    assert code == 1
    assert "outputs.dimensions: known of no training clip" in capsys.readouterr().err
    sercli(capsys, "train", corpus, *options, "corpus.derived_dimensions=true", "-o", tmp_path / "run", "-q")
    sercli(capsys, "export", tmp_path / "run", "-o", tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "derived, not human ratings" in card
    assert "Russell and Mehrabian 1977" in card
    table = tmp_path / "voices" / "voices.csv"
    asked = ("eval", tmp_path / "run", "--table", table, "-q", "-f", "jsonl")
    assert "CCC" not in sercli(capsys, *asked)
    assert '"arousal (derived)"' in sercli(capsys, *asked, "--derived")


def test_a_student_begins_with_one_that_does_not_rate(tmp_path: Path) -> None:
    from sercli.models import students
    from sercli.training.start import Start

    plain, rates = (students.arguments_from({"dimensions": rated}, "nano") for rated in (False, True))
    before, after = students.build(plain, 3), students.build(rates, 3)
    students.save_weights(before, tmp_path / "model.safetensors")
    start = Start(tmp_path / "model.safetensors", "cnn-attention", plain)
    assert (start.new_parts(rates), start.new_parts(plain)) == (["rater"], [])
    students.load_weights(after, start.weights, start.new_parts(rates))
    state = after.state_dict()
    assert state.keys() - before.state_dict().keys() == {"rater.weight", "rater.bias"}
    assert all(torch.equal(state[name], value) for name, value in before.state_dict().items())


def test_nobody_who_rates_is_needed_for_classes_alone(tmp_path: Path) -> None:
    from sercli.corpora.table import read_table
    from sercli.training.outputs import check_known

    utterances = read_table(write_corpus(tmp_path / "voices", clips=1))
    check_known(utterances, [])
    with pytest.raises(CorpusError, match=r"outputs.dimensions: known of no training clip"):
        check_known(utterances, ["dimensions"])

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from sercli.corpora import CORPORA
from sercli.corpora.splits import CROSS_CORPUS, holdouts, protocol
from sercli.errors import RecipeError
from sercli.fields import from_dict
from sercli.labels import LABEL_SETS
from sercli.training.recipe import Recipe, Source
from sercli.training.recipe_file import dump_recipe, load_recipe
from sercli.training.recipe_gmp import NAME as GMP
from sercli.training.recipe_gmp import GmpAtl

RECIPES = sorted((Path(__file__).parents[2] / "zoo" / "recipes").glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "")) == Recipe()
    assert Recipe().method == {"ce": {}}


def test_precedence_is_command_line_file_default(tmp_path: Path) -> None:
    path = write(tmp_path, "optim: {epochs: 7, batch: 4}\n")
    recipe = load_recipe(path, ["optim.epochs=20", "student.arguments.stem=8", "augment.noise.snr_db=[0, 9]"])
    assert (recipe.optim.epochs, recipe.optim.batch, recipe.optim.lr) == (20, 4, 3e-3)
    assert recipe.student.arguments == {"stem": 8}
    assert recipe.augment.noise.snr_db == (0.0, 9.0)


def test_sources_may_be_names(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "corpus: {sources: [ravdess, {name: own.csv, weight: 2}]}\n"))
    assert recipe.corpus.sources == (Source("ravdess"), Source("own.csv", weight=2.0))


METHOD_LIST = "method: [ce, {kd: {temperature: 4, weight: 1}}, {distilhubert: {layers: [4, 6, 9]}}]\n"


def test_methods_may_be_a_list(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, METHOD_LIST))
    expected = {"ce": {}, "kd": {"temperature": 4, "weight": 1}, "distilhubert": {"layers": [4, 6, 9]}}
    assert recipe.method == expected
    assert list(recipe.method) == list(expected)
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


def test_listed_methods_are_overridden_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, METHOD_LIST)
    recipe = load_recipe(path, ["method.kd.temperature=2", "method.ce.label_smoothing=0", "method.sp.weight=3"])
    assert recipe.method["kd"] == {"temperature": 2, "weight": 1}
    assert (recipe.method["ce"], recipe.method["sp"]) == ({"label_smoothing": 0}, {"weight": 3})
    assert load_recipe(path, ["method=[kd, {ce: {}}]"]).method == {"kd": {}, "ce": {}}


def test_method_mappings_are_written_as_they_were_read(tmp_path: Path) -> None:
    import yaml

    for text in ("{ce: {label_smoothing: 0.1}}", "{ce: {}}", "{ce: null, kd: {weight: 2}}"):
        resolved = yaml.safe_load(dump_recipe(load_recipe(write(tmp_path, f"method: {text}\n"))))
        assert resolved["method"] == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["3e-3", "3.0e-3", "0.003"])
def test_learning_rates_as_people_write_them(tmp_path: Path, text: str) -> None:
    assert load_recipe(write(tmp_path, f"optim: {{lr: {text}}}\n")).optim.lr == pytest.approx(0.003)
    assert load_recipe(write(tmp_path, ""), [f"optim.lr={text}"]).optim.lr == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optin: {}", "unknown recipe key optin; did you mean optim?"),
        ("optim: {epoch: 3}", "unknown recipe key optim.epoch; did you mean optim.epochs?"),
        ("epochs: 3", "unknown recipe key epochs; did you mean optim.epochs?"),
        ("snr_db: [0, 5]", "unknown recipe key snr_db; did you mean augment.noise.snr_db?"),
        ("split: {dev_share: 1}", "split.dev_share: must be a share from 0 to below 1, not 1"),
        ("corpus: {sources: [{nam: x}]}", "unknown recipe key corpus.sources[0].nam; did you mean"),
        ("zzz: 1", "unknown recipe key zzz; known: name, corpus, split"),
        ("optim: {epochs: 2.5}", "optim.epochs: needs a value of type int, not 2.5"),
        ("optim: {epochs: true}", "optim.epochs: needs a value of type int, not True"),
        ("optim: {lr: fast}", "optim.lr: needs a value of type float, not 'fast'"),
        ("optim: {bf16: 1}", "optim.bf16: needs a value of type bool, not 1"),
        ("optim: 3", "optim: needs a mapping of keys to values, not 3"),
        ("method: ce", "method: needs a mapping of keys to values, not 'ce'"),
        ("method: [kd, {ce: {}}, {kd: {}}]", "method[2]: kd is there already; put its arguments into one entry"),
        ("method: [{kd: {}, ce: {}}]", "method[0]: needs one method, for example 'kd: {weight: 1}', not {'kd'"),
        ("method: [ce, 3]", "method[1]: needs one method"),
        ("student: {arguments: [{stem: 8}]}", "student.arguments: needs a mapping of keys to values, not"),
        ("corpus: {sources: ravdess}", "corpus.sources: needs a list, not 'ravdess'"),
        ("augment: {noise: {snr_db: [1, 2, 3]}}", "augment.noise.snr_db: needs 2 values, not 3"),
        ("augment: {noise: {snr_db: [9, 1]}}", "augment.noise.snr_db: must be the lower bound first, not [9.0, 1.0]"),
        ("augment: {noise: {probability: 2}}", "augment.noise.probability: must be a share from 0 to 1, not 2.0"),
        ("augment: {noise: {probability: 1}}", "augment.noise.kinds: must be one at least, or augment.noise.probab"),
        ("augment: {noise: {rir_probability: 1}}", "augment.noise.rir_folder: must be a folder, or augment.noise.rir"),
        (
            "augment: {noise: {kind: [rain]}}",
            "unknown recipe key augment.noise.kind; did you mean augment.noise.k",
        ),
        ("optim: {balance: samplr}", "optim.balance: must be one of sampler, loss, none, not 'samplr'"),
        ("optim: {batch: 1}", "optim.batch: must be at least 2, for batch norms, not 1"),
        ("optim: {epochs: 0}", "optim.epochs: must be at least 1, not 0"),
        ("seed: -1", "seed: must be from 0 to 2**32 - 1, not -1"),
        ("name: ../x", "name: must be letters"),
    ],
)
def test_wrong_recipes_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.epochs", "override 'optim.epochs': write it as key.sub=value"),
        ("=3", "override '=3': write it as key.sub=value"),
        ("optim.epochs=[", "override 'optim.epochs=[': the value is not YAML"),
        ("name.first=x", "override 'name.first=x': name has no keys below it"),
        ("optim.epoks=3", "unknown recipe key optim.epoks; did you mean optim.epochs?"),
    ],
)
def test_wrong_overrides(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, "name: x\n"), [override])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such recipe"),
        (b"a: [", "not a readable YAML"),
        (b"\xff\xfe\xff", "not a readable YAML"),
        (b"- a\n", "a recipe is a mapping of keys to values, not a list"),
    ],
)
def test_unreadable_recipes(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_resolved_recipe_reads_back_as_itself(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


def test_resolved_recipe_states_every_key() -> None:
    import yaml

    def keys(values: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(values)}

    resolved = yaml.safe_load(dump_recipe(Recipe()))
    assert set(resolved) == keys(Recipe())
    assert set(resolved["augment"]) == keys(Recipe().augment)
    assert from_dict(Recipe, resolved, "") == Recipe()


def test_shipped_recipes_are_found() -> None:
    assert {"micro", "ravdess-micro", "emodb-micro"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_what_a_shipped_recipe_names_exists(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.corpus.labels in LABEL_SETS
    assert {source.name for source in recipe.corpus.sources} <= set(CORPORA)
    assert all(math.isfinite(source.weight) for source in recipe.corpus.sources)
    if recipe.split.protocol and recipe.split.protocol != CROSS_CORPUS:
        named = protocol(recipe.split.protocol)
        assert named.label_set == recipe.corpus.labels
        assert [source.name for source in recipe.corpus.sources] == [named.corpus]
    elif not recipe.split.protocol:
        assert recipe.split.holdout in holdouts()


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_student_and_methods_of_a_shipped_recipe_can_be_built(path: Path) -> None:
    pytest.importorskip("torch", reason='needs the extra "train"')
    from sercli.methods import build_methods
    from sercli.models.students import arguments_from

    recipe = load_recipe(path)
    arguments_from(recipe.student.arguments, recipe.student.size, recipe.student.architecture)
    assert GmpAtl.of(recipe.method) if GMP in recipe.method else build_methods(recipe.method)

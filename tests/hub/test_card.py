from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason='needs the extra "train"')
from sercli.hub.card import write_card

CONFIG = {
    "name": "tiny",
    "architecture": "cnn-attention",
    "parameters": 1234,
    "labels": ["happy", "sad"],
    "temperature": 1.5,
    "abstain_threshold": 0.4,
}


def card(folder: Path, *corpora: str, **metrics: Any) -> str:
    sides = {name: {"utterances": 2, "speakers": ["a", "b"]} for name in corpora}
    development = {"ua": 50.0, "ua_by_file": {"model.onnx": 50.0}, "ua_by_corpus": dict.fromkeys(corpora, 50.0)}
    nothing: dict[str, Any] = {"cross_validation": [], "cross_corpus": [], "bytes": {"model.onnx": 1_000_000}}
    everything = {**nothing, "development": development, "material": {"train": sides, "dev": {}}, **metrics}
    write_card(folder / "README.md", CONFIG, everything)
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("corpora", "licence", "languages"),
    [
        (("jl",), "cc0", "en"),
        (("ravdess", "emodb", "nemo"), "cc-by-nc-sa-4.0", "de, en, pl"),  # the strictest of those that are known
        (("ravdess", "turev"), "cc-by-nc-sa-4.0", "en, tr"),
        (("ravdess", "iemocap"), "other", "en"),  # a signed form is stricter than any of them
        (("esd",), "other", "en, zh"),
        (("mine",), "other", ""),
    ],
)
def test_licence_and_languages(tmp_path: Path, corpora: tuple[str, ...], licence: str, languages: str) -> None:
    text = card(tmp_path, *corpora)
    assert f"license: {licence}\n" in text
    assert f"language: [{languages}]\n" in text


def test_figures_of_recipes(tmp_path: Path) -> None:
    figure = {"value": 61.24, "low": 55.0, "high": 67.0}
    folds: dict[str, Any] = {
        "data": {"protocol": "emodb-loso", "labels": ["a"] * 7, "corpora": {"emodb": 535}},
        "over_folds": {"ua": {"mean": 60.0, "std": 4.0}, "wa": {"mean": 62.0, "std": 3.0}},
        "figures": {"ua": figure},
        "seed": 0,
        "development": "in training",
    }
    pairs = {"over_pairs": {"ua": 40.0, "wa": 41.0, "chance": 20.0}, "pairs": {"a": {"b": {}}, "b": {"a": {}}}}
    few = {**folds, "figures": {"ua": {**figure, "low": None, "high": None}}}
    text = card(tmp_path, "emodb", cross_validation=[folds, few], cross_corpus=[pairs])
    assert "| emodb-loso | 7 | 60.0 +- 4.0 | 61.2 (55.0 to 67.0) | 62.0 | 0 | in training |\n" in text
    assert "| emodb-loso | 7 | 60.0 +- 4.0 | 61.2 | 62.0 | 0 | in training |\n" in text
    assert 'metrics: [{type: recall, name: "UA, emodb-loso", value: 60.0}]' in text
    assert "UA 40.0 on average\nover 2 pairs of corpora (a, b), where chance is 20.0." in text

"""The card says what the bundle's files say: data, figures, gaps, noise, licence, and how to repeat it."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("jinja2", reason='needs the extra "push"')
from hub_bundle import metrics

from sercli.hub.card import card_text
from sercli.hub.citations import OWN, PAPERS


def card(folder: Path, recipe: str | None = None, **changes: Any) -> str:
    (folder / "metrics.json").write_text(json.dumps({**metrics(), **changes}), encoding="utf-8")
    if recipe is not None:
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return card_text(folder)


def metadata(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


@pytest.mark.parametrize(
    ("corpora", "licence", "languages"),
    [
        (("jl",), "cc0-1.0", ["en"]),
        (("ravdess", "emodb", "nemo"), "cc-by-nc-sa-4.0", ["de", "en", "pl"]),  # the strictest of those that are known
        (("ravdess", "turev"), "cc-by-nc-sa-4.0", ["en", "tr"]),
        (("ravdess", "iemocap"), "other", ["en"]),  # a signed form is stricter than any of them
        (("esd",), "other", ["en", "zh"]),
        (("mine",), "other", []),
    ],
)
def test_licence_and_languages(bundle: Path, corpora: tuple[str, ...], licence: str, languages: list[str]) -> None:
    sides = {name: {"utterances": 2, "speakers": ["a", "b"]} for name in corpora}
    text = card(bundle, material={"train": sides, "dev": {}})
    head = metadata(text)
    assert (head["license"], head["language"]) == (licence, languages)
    unstated = "Weights: not stated; that of the training material applies. The code of sercli is"
    assert (unstated in text) == (licence == "other")


def test_figures_of_recipes(bundle: Path) -> None:
    (folds,) = metrics()["cross_validation"]
    few = deepcopy(folds)
    few["model"]["name"] = "few"
    few["figures"]["ua"] |= {"low": None, "high": None}
    pairs = {"over_pairs": {"ua": 40.0, "wa": 41.0, "chance": 20.0}, "pairs": {"a": {"b": {}}, "b": {"a": {}}}}
    text = card(bundle, cross_validation=[folds, few], cross_corpus=[pairs])
    row = "ravdess-emobox6 | 2 | 60.0 +- 4.0 | {} | 62.0 | 0 | in training |\n"
    assert "| tiny-ravdess | " + row.format("61.2 (55.0 to 67.0)") in text
    assert "| few | " + row.format("61.2") in text
    assert "UA 40.0 on average\nover 2 pairs of corpora (a, b), where chance is 20.0." in text
    (model,) = metadata(text)["model-index"]
    figures = {entry["name"]: entry["value"] for result in model["results"] for entry in result["metrics"]}
    assert figures["UA, ravdess-emobox6, tiny-ravdess"] == 60.0


def test_gaps_between_groups_and_noise_curve(bundle: Path) -> None:
    (folds,) = metrics()["cross_validation"]
    sides = [{"name": name, "ua": ua, "low": None, "high": None} for name, ua in (("f", 72.79), ("m", 59.24))]
    folds["groups"] = {"columns": {"gender": {"groups": sides, "gap": {"points": 13.55, "best": "f", "worst": "m"}}}}
    cells = [("rain", "20 dB", 57.9), ("rain", "0 dB", 18.3), ("gain", "-20 dB", 60.0), ("telephone", "", 25.9)]
    shown = [{"kind": kind, "level": level, "ua": ua} for kind, level, ua in cells]
    folds["robustness"] = {"clean": {"ua": 61.24}, "cells": shown}
    text = card(bundle, cross_validation=[folds])
    assert "| tiny-ravdess | gender | f: 72.8 | m: 59.2 | 13.6 |\n" in text
    assert "### In noise: `tiny-ravdess`, UA 61.2 in quiet\n" in text
    assert "| signal-to-noise ratio | 20 dB | 0 dB |\n|---|---|---|\n| rain | 57.9 | 18.3 |\n" in text
    assert "\ngain -20 dB 60.0; telephone 25.9.\n" in text


def test_speed_and_how_it_was_made(bundle: Path) -> None:
    reference = {"ratio_to_matmul": 2.66, "imports_memory_mb": 52.7}
    cost = {"macs_per_second": 21.3e6, "real_time_factor": 0.00125, "peak_memory_mb": 73.5, "reference": reference}
    text = card(bundle, "method: {kd: {}, dkd: {}, ce: {}}\nteacher: {encoders: [{name: x}]}\nseed: 4\n", cost=cost)
    assert "800 times real time, 2.7 times as long as a float32 matrix product" in text
    assert "sercli distill recipe.yaml --data data --output runs/tiny\n" in text
    assert "It was trained by `kd`, `dkd`, `ce`; `recipe.yaml` has every setting, seed 4.\n" in text
    assert "Cite the methods by their papers:\n- `kd`: Hinton, Vinyals and Dean, 2015, https://arxiv.org/abs/" in text
    plain = card(bundle, "method: {ce: {}}\nseed: 0\n")
    assert "sercli train recipe.yaml" in plain
    assert "trained by `ce`, without a teacher" in plain
    assert "Cite" not in plain


def test_intended_use_and_limits(bundle: Path) -> None:
    text = card(bundle)
    assert "Article 5(1)(f) of the EU AI Act bans inferring emotions" in text
    assert "not what a person feels" in text
    assert not re.search(r"\n\n\n", text)


def test_no_figure_without_a_measurement(bundle: Path) -> None:
    text = card(bundle, cross_validation=[])
    assert "there is no figure to quote" in text
    assert "model-index" not in metadata(text)


def test_every_method_says_whom_to_cite() -> None:
    methods = pytest.importorskip("sercli.methods", reason='needs the extra "train"')
    assert set(methods.METHODS) <= {*PAPERS, *OWN}

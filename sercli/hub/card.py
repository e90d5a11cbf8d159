"""The model card: what a student was trained on, how it was measured, and what it must not be used for."""

# ruff: noqa: E501 - a table row of the card is one line
from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = """---
license: {{ licence_id }}
library_name: sercli
pipeline_tag: audio-classification
tags: [speech-emotion-recognition, onnx, sercli]
language: [{{ languages | join(", ") }}]
{% if model_index %}model-index:
- name: {{ config.name }}
  results:
{% for row in model_index %}  - task: {type: audio-classification, name: Speech emotion recognition}
    dataset: {name: {{ row.corpus }}, type: {{ row.corpus }}}
    metrics: [{type: recall, name: "UA, {{ row.protocol }}", value: {{ row.ua }}}]
{% endfor %}{% endif %}---
# {{ config.name }}

A speech emotion student of {{ "{:,}".format(config.parameters) }} parameters ({{ config.architecture }}): 16 kHz
waveform in, {{ config.labels | length }} classes out ({{ config.labels | join(", ") }}). The front end is inside the
ONNX graph.

| file | size |
|---|---|
{% for name, size in metrics.bytes.items() %}| `{{ name }}` | {{ "%.2f" % (size / 1e6) }} MB |
{% endfor %}
## Measured
{% if metrics.cross_validation %}Cross-validation of the same network, speaker-disjoint, trained on that corpus alone by its own recipe, whose
augmentation may differ from this student's (`metrics.json` has it in full); test speakers are looked at once. Acted
speech: expect less on spontaneous speech and in other languages.

| corpus, protocol | classes | UA, mean of folds | UA pooled (95 % interval over speakers) | WA, mean of folds | seed | development speakers |
|---|---|---|---|---|---|---|
{% for row in metrics.cross_validation %}| {{ row.data.protocol }} | {{ row.data.labels | length }} | {{ "%.1f" % row.over_folds.ua.mean }} +- {{ "%.1f" % row.over_folds.ua.std }} | {{ interval(row.figures.ua) }} | {{ "%.1f" % row.over_folds.wa.mean }} | {{ row.seed }} | {{ row.development }} |
{% endfor %}
{% endif %}{% for row in metrics.cross_corpus %}Trained on one corpus and tested on another, over the labels both have: UA {{ "%.1f" % row.over_pairs.ua }} on average
over {{ row.pairs.values() | map("length") | sum }} pairs of corpora ({{ row.pairs | join(", ") }}), where chance is {{ "%.1f" % row.over_pairs.chance }}.

{% endfor %}The released weights were trained on everyone but the development speakers below, so no corpus listed here can test
them. On those development speakers, which chose the epoch and the calibration (an optimistic figure): UA
{{ "%.1f" % metrics.development.ua }}{% for name, ua in metrics.development.ua_by_file.items() %}, `{{ name }}` {{ "%.1f" % ua }}{% endfor %}. By corpus:
{% for corpus, ua in metrics.development.ua_by_corpus.items() %}{{ ", " if not loop.first }}{{ corpus }} {{ "%.1f" % ua }}{% endfor %}.

Scores are calibrated with temperature {{ "%.2f" % config.temperature }}; below {{ "%.2f" % config.abstain_threshold }}
the runtime says `uncertain`: on the development speakers, every corpus counting alike, labels with lower scores were
more often wrong than right.

## Trained on
| corpus | language | licence | training speakers | development speakers |
|---|---|---|---|---|
{% for row in material %}| {{ row.title }} | {{ row.language }} | {{ row.licence }} | {{ row.train | join(" ") }} | {{ row.dev | join(" ") or "none" }} |
{% endfor %}
Weights: {{ licence }}, the strictest licence among these corpora. The code of sercli is Apache-2.0.

## Intended use and limits
For research, for sorting one's own recordings, and for software that reacts to the sound of a voice with the speaker's
knowledge. It hears acted vocal expression, not what a person feels. Not for decisions about people; not at work, in
schools or in education, where Article 5(1)(f) of the EU AI Act bans inferring emotions (medical and safety reasons
excepted); elsewhere the Act treats emotion recognition as high-risk and asks that people be told.

## Use
```sh
sercli predict file.wav --model {{ config.name }}
```
Without sercli: `waveform` float32 (batch, samples) at 16 kHz, zero-padded on the right, and `lengths` int64 (batch,) go
into `model.onnx`; `softmax(logits / {{ config.temperature }})` are the scores of {{ config.labels | join(", ") }}.
"""

LANGUAGE_CODES = {
    "Amharic": "am",
    "Arabic": "ar",
    "English": "en",
    "French": "fr",
    "German": "de",
    "Greek": "el",
    "Italian": "it",
    "Mandarin": "zh",
    "Polish": "pl",
    "Turkish": "tr",
    "Urdu": "ur",
}
STRICTEST_FIRST = ("CC BY-NC-ND 4.0", "CC BY-NC-SA 4.0", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY 4.0", "CC0")


def write_card(path: Path, config: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write a bundle's README.md with Hub metadata (licence, languages, model-index)."""
    from jinja2 import Environment, StrictUndefined

    from sercli.corpora import CORPORA

    material = []
    train, dev = metrics["material"]["train"], metrics["material"]["dev"]
    for name, side in train.items():
        corpus = CORPORA.get(name)
        material.append(
            {
                "title": corpus.title if corpus else name or "unnamed corpus",
                "language": corpus.language if corpus else "not stated",
                "licence": corpus.licence if corpus else "not stated",
                "train": side["speakers"],
                "dev": dev.get(name, {}).get("speakers", []),
            }
        )
    licence, licence_id = _licence({row["licence"] for row in material})
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    text = environment.from_string(TEMPLATE).render(
        config=config,
        metrics=metrics,
        material=material,
        interval=_interval,
        licence=licence,
        licence_id=licence_id,
        languages=sorted(
            {code for row in material for name, code in LANGUAGE_CODES.items() if name in row["language"]}
        ),
        model_index=[
            {"corpus": corpus, "protocol": row["data"]["protocol"], "ua": row["over_folds"]["ua"]["mean"]}
            for row in metrics["cross_validation"]
            for corpus in row["data"]["corpora"]
        ],
    )
    path.write_text(text, encoding="utf-8")


def _interval(figure: dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.1f}"
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"


def _licence(licences: set[str]) -> tuple[str, str]:
    """Find the licence of the weights and its Hub identifier.

    Weights are no derivative that NoDerivatives could forbid to share, but they may not be freer than their material:
    NonCommercial-ShareAlike is what the corpora's own terms add up to. Where a corpus has terms of its own (signed
    forms, research only), no Creative Commons licence covers the weights.
    """
    if any(licence not in STRICTEST_FIRST and not licence.startswith("not ") for licence in licences):
        return "not stated; that of the training material applies", "other"
    strictest = [licence for licence in STRICTEST_FIRST if licence in licences]
    if strictest and strictest[0].startswith("CC BY-NC"):
        return "CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"
    if strictest and licences <= set(STRICTEST_FIRST):  # a licence that nobody knows may forbid more than these
        return strictest[0], strictest[0].lower().replace(" ", "-")
    return "not stated; that of the training material applies", "other"

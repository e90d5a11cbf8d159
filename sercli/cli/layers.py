"""`sercli eval --layers`: what the layers of a speech encoder carry."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from sercli.cli import extras, output
from sercli.errors import UsageError

if TYPE_CHECKING:
    from sercli.corpora.table import Utterance

USELESS = (
    *("recipe", "runs", "resume", "against", "cost", "robustness", "kinds", "snr", "noise", "rir", "overrides"),
    "offline",
)
"""Options of `sercli eval` that say nothing about layers."""


def measure_layers(model: str | None, utterances: list[Utterance], options: dict[str, Any]) -> None:
    """Print what the layers of an encoder carry, and write the report that is asked for.

    Args:
        model: folder of an encoder, or Hub id and revision as NAME@REVISION
        utterances: with native labels
        options: of `sercli eval`
    """
    from sercli.corpora.derived import with_derived
    from sercli.corpora.splits import protocol
    from sercli.evaluation import layer_report
    from sercli.evaluation.layers import question, relevance
    from sercli.evaluation.measure import Settings
    from sercli.labels import NATIVE, map_label, relabel
    from sercli.models.encoder import EncoderSource, load_encoder
    from sercli.models.pretrained import name_and_revision

    published = protocol(options["protocol"]) if options["protocol"] else None
    wanted = options["labels"] or (published.label_set if published else NATIVE)
    if options["report"]:
        layer_report.check_folder(options["report"], options["overwrite"])
    if options["derived"]:
        utterances = with_derived(utterances)
    known = {map_label(u.emotion, wanted, u.corpus) for u in utterances} - {None}
    placed = relabel(utterances, wanted)
    labels = sorted(str(label) for label in known)
    settings = Settings(options["seed"], scale=options["scale"])
    asked = question(placed, labels, published, options["derived"], options["seed"])
    encoder = load_encoder(EncoderSource(*name_and_revision(str(model))))
    found = relevance(encoder, asked, settings, options["quiet"])
    names = layer_report.write(found, options["report"]) if options["report"] else []
    form = options["form"] or ("table" if sys.stdout.isatty() else "jsonl")
    if form == "json":
        output.result(json.dumps(found, indent=1))
    elif form == "jsonl":
        output.result("\n".join(json.dumps(line) for line in layer_report.lines(found)))
    else:
        output.result(output.columns(layer_report.table(found)))
    if names and not options["quiet"]:
        output.note(f"{options['report']}: {', '.join(names)}")


def check_layers(model: str | None, options: dict[str, Any]) -> None:
    """Refuse what does not go together before anything is loaded, and ask for what must be installed."""
    if useless := [f"--{name}" for name in USELESS if options.get(name)]:
        raise UsageError(f"{useless[0]} is of a model that answers; --layers looks into an encoder, leave it out")
    if model is None:
        raise UsageError(
            "--layers of which encoder? Give a folder, or a Hub id and revision (openai/whisper-small@main)"
        )
    extras.require("train", "sercli eval --layers")

"""From a run folder to a student bundle: ONNX, int8, calibration, card, and proof that they agree."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from sercli import __version__
from sercli.audio import SAMPLE_RATE
from sercli.corpora.splits import LEAKS
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, CorpusError, OutputError, UsageError
from sercli.evaluation.cost import cost
from sercli.evaluation.metrics import unweighted_accuracy
from sercli.hub.card import write_card
from sercli.methods.audio_text import AudioText
from sercli.models import students, teacher
from sercli.models.student import StudentNetwork
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE
from sercli.training.data import MIN_SAMPLES
from sercli.training.graph import student_graph
from sercli.training.quantise import quantise
from sercli.training.recipe import ExportPart
from sercli.training.recipe_file import load_resolved
from sercli.training.store import FULL_SCALE, AudioStore, open_store

BUNDLE_FORMAT = 1
REPORT_IT = "`sercli eval --recipe RECIPE --report DIR` writes it"
PARITY = 1e-4  # largest allowed difference between torch and ONNX, and between padded and unpadded clips


@dataclass(frozen=True)
class Exported:
    """A written bundle and how well its parts agree."""

    folder: Path
    parity: float
    """largest difference of a logit, or of arousal, valence or dominance, between torch and ONNX"""
    sizes: dict[str, int]
    """file name to bytes"""
    dev_ua: dict[str, float]
    """precision to UA on the development speakers, in percent"""


def export(
    run: Path, folder: Path, data: Path | None, *, results: Sequence[Path] = (), overwrite: bool = False
) -> Exported:
    """Write a student bundle (DESIGN section 3) from a finished run.

    Args:
        run: folder that `sercli train` wrote
        folder: the bundle's folder
        data: folder of corpora, for the development clips that calibrate int8; default $SERCLI_DATA
        results: metrics.json files of recipes' reports, to be shown in the card
        overwrite: replace a bundle that is there

    Raises:
        UsageError: the run is missing, not finished, or trained on its development speakers
        BundleError: torch and ONNX disagree
        CorpusError: the run's development clips are not there
        OutputError: the folder holds a bundle already, or other files, or cannot be written
    """
    from sercli.training.run import read_sources

    if not (run / "checkpoint.json").exists():
        raise UsageError(f"{run}: not a finished run (no checkpoint.json); finish it with `sercli train ... --resume`")
    folder = folder.absolute()
    _check_target(folder, overwrite)
    reported = [_results(path) for path in results]
    checkpoint = json.loads((run / "checkpoint.json").read_text(encoding="utf-8"))
    recipe = load_resolved(run / "recipe.yaml")
    if recipe.split.train_on_dev:
        raise UsageError(f"{run}: trained on its development speakers (split.train_on_dev): nobody can calibrate it")
    if checkpoint["architecture"] == AudioText.name:
        raise UsageError(
            f"{run}: a student that reads, which no bundle holds; `sercli predict --text` and `sercli eval` take the "
            "run folder, and a student that only hears can learn from it (teacher.students)"
        )
    student = load_student(run, checkpoint)
    labels = checkpoint["labels"]
    dev = _development(run, read_sources(recipe, data))
    store = open_store(dev)
    model = student_graph(student)
    files = {"model.onnx": model}
    if recipe.export.int8:
        files["model.int8.onnx"] = quantise(model, [clip for clip, _ in _clips(store, recipe.export.calibration_clips)])
    parity = _check_parity(student, model, store)
    dev_ua = {name: _dev_ua(graph, store, dev, labels) for name, graph in files.items()}

    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        for name, graph in files.items():
            onnx.save(graph, partial / name)
        shutil.copyfile(run / "model.safetensors", partial / "model.safetensors")
        shutil.copyfile(run / "recipe.yaml", partial / "recipe.yaml")
        config = bundle_config(checkpoint, recipe.export, student.arguments.embedding, student.further)
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        sizes = {name: (partial / name).stat().st_size for name in [*files, "model.safetensors"]}
        metrics = {**_metrics(run, reported, parity, dev_ua, sizes), "cost": cost(partial)}
        (partial / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        write_card(partial)
        _replace(partial, folder)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --output") from problem
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(folder, parity, sizes, dev_ua)


def load_student(folder: Path, config: dict[str, Any]) -> StudentNetwork:
    """Rebuild a student in torch from a run or bundle folder.

    Raises:
        BundleError: unknown architecture, or weights that are not its own
    """
    architecture = config["architecture"]
    if architecture == teacher.ARCHITECTURE:
        raise BundleError(f"{folder}: a teacher, far too large for a bundle; let a student learn from it")
    if architecture not in students.ARCHITECTURES:
        raise BundleError(f"{folder}: unknown architecture {architecture!r}; update sercli")
    arguments = students.arguments_from(config["arguments"], architecture=architecture)
    student = students.build(arguments, len(config["labels"]))
    students.load_weights(student, folder / "model.safetensors")
    return student.eval()


def bundle_config(
    checkpoint: dict[str, Any], part: ExportPart, embedding: int, further: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The config.json of a run's bundle; a run that nobody calibrated gets temperature 1 and never abstains.

    Args:
        checkpoint: checkpoint.json of the run
        part: the recipe's export section
        embedding: width of the network's embedding
        further: its outputs besides the classes, name to width
    """
    return {
        "format": BUNDLE_FORMAT,
        "name": checkpoint["name"],
        "architecture": checkpoint["architecture"],
        "arguments": checkpoint["arguments"],
        "sample_rate": SAMPLE_RATE,
        "labels": checkpoint["labels"],
        "heads": {"logits": len(checkpoint["labels"]), **(further or {})},
        "embedding_size": embedding,
        "window_seconds": part.window_seconds,
        "hop_seconds": part.hop_seconds,
        "clip_seconds": part.clip_seconds,
        "min_seconds": part.min_seconds,
        "temperature": checkpoint["temperature"] or 1.0,
        "abstain_threshold": checkpoint["abstain_threshold"] or 0.0,
        "parameters": checkpoint["parameters"],
        "sercli_version": __version__,
    }


def _check_target(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a bundle: what lies in the folder goes when the new one takes its place."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose another --output")
    foreign = sorted({path.name for path in folder.iterdir()} - set(BUNDLE_FILES))
    if foreign:
        raise OutputError(f"{folder}: holds other files ({', '.join(foreign[:3])}); choose another --output")
    if (folder / CONFIG_FILE).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a bundle already; add --overwrite to replace it")


REPORTED = (
    *("date", "versions", "model", "data", "development", "seed", "bootstrap"),
    *("derived_dimensions", "figures", "folds", "over_folds", "pairs", "over_pairs", "groups", "robustness"),
)
"""What a bundle's metrics.json takes over from a recipe's report."""


def _results(path: Path) -> dict[str, Any]:
    """Read the metrics.json that `sercli eval --recipe ... --report` writes."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.get("seen", {}).get("status") == "leaks":
            raise UsageError(f"{path}: of {values['data']['protocol']}, where {LEAKS}; no card may show it")
        if values["model"]["kind"] == "recipe" and ("over_folds" in values or "over_pairs" in values):
            return {key: values[key] for key in REPORTED if key in values}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(f"{path}: cannot be read as a report ({problem}); {REPORT_IT}") from problem
    raise UsageError(f"{path}: not the metrics.json of a recipe's folds; {REPORT_IT}")


def _development(run: Path, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Find the utterances of the run's development speakers, as the run itself noted them."""
    material = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["material"]["dev"]
    dev = [item for item in utterances if item.speaker in material.get(item.corpus, {"speakers": []})["speakers"]]
    if not dev:
        raise CorpusError(f"{run}: its development speakers are not in the corpora read now; check --data")
    return dev


def _clips(store: AudioStore, count: int) -> list[tuple[npt.NDArray[np.float32], int]]:
    """Clips spread evenly over the store, so that every corpus and speaker sets the ranges."""
    return [_clip(store, index) for index in np.unique(np.linspace(0, len(store) - 1, count).astype(int))]


def _clip(store: AudioStore, index: int) -> tuple[npt.NDArray[np.float32], int]:
    """One clip as the runtime gives it to the graph, padded to its shortest input, and its true length."""
    clip = store[index].astype(np.float32) / np.float32(FULL_SCALE)
    return np.pad(clip, (0, max(MIN_SAMPLES - len(clip), 0))), len(clip)


def _check_parity(student: StudentNetwork, model: Any, store: AudioStore) -> float:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for clip, length in _clips(store, 16):
        lengths = np.array([length], dtype=np.int64)
        padded = np.pad(clip, (0, 16_000))[None, :]
        with torch.inference_mode():
            said = student(torch.from_numpy(clip[None, :]), torch.from_numpy(lengths))
        names = ["logits", *student.further]
        for waveform in (clip[None, :], padded):
            found = session.run(names, {"waveform": waveform, "lengths": lengths})
            apart = [np.abs(values - said[name].numpy()).max() for name, values in zip(names, found, strict=True)]
            worst = max(worst, *map(float, apart))
    if worst > PARITY:
        raise BundleError(f"torch and ONNX differ by {worst:.2g}, more than {PARITY:g}; please report this as a bug")
    return worst


def _dev_ua(model: Any, store: AudioStore, dev: Sequence[Utterance], labels: Sequence[str]) -> float:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    guesses = []
    labelled = [index for index, utterance in enumerate(dev) if utterance.emotion]
    for index in labelled:
        clip, length = _clip(store, index)
        feed = {"waveform": clip[None, :], "lengths": np.array([length], dtype=np.int64)}
        guesses.append(int(np.argmax(session.run(["logits"], feed)[0])))
    targets = np.array([labels.index(dev[index].emotion) for index in labelled])
    return round(100.0 * unweighted_accuracy(targets, np.array(guesses), len(labels)), 2)


def _metrics(
    run: Path, results: Sequence[dict[str, Any]], parity: float, dev_ua: dict[str, float], sizes: dict[str, int]
) -> dict[str, Any]:
    trained = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    dev = {key: value for key, value in trained["dev"].items() if key not in {"predictions", "targets", "speaker_of"}}
    return {
        "cross_validation": [result for result in results if "over_folds" in result],
        "cross_corpus": [result for result in results if "over_pairs" in result],
        "development": {
            "note": "these speakers selected the epoch and calibrated the scores: no test figures",
            **dev,
            "ua_by_file": dev_ua,
            "ua_by_corpus": _ua_by_corpus(trained["dev"]),
        },
        "material": trained["material"],
        "parity_logits": parity,
        "bytes": sizes,
    }


def _ua_by_corpus(figures: dict[str, Any]) -> dict[str, float]:
    """UA in percent within each corpus, over the classes it has."""
    corpora = np.array([speaker.partition("/")[0] for speaker in figures["speaker_of"]])
    targets, predictions = np.array(figures["targets"]), np.array(figures["predictions"])
    classes = len(figures["recall"])
    return {
        str(corpus): round(
            100.0 * unweighted_accuracy(targets[corpora == corpus], predictions[corpora == corpus], classes), 2
        )
        for corpus in np.unique(corpora)
    }


def _replace(partial: Path, folder: Path) -> None:
    """Put the finished bundle in place; the old one goes only when the new one is whole."""
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)

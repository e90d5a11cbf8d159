"""metrics.json of an evaluation that never was, computed by the functions that make real ones."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np

from sercli.evaluation.bootstrap import Indices, Resample
from sercli.evaluation.calibration import calibration
from sercli.evaluation.compare import compare
from sercli.evaluation.groups import duration_bins, groups
from sercli.evaluation.metrics import classification
from sercli.labels import LABEL_SETS

EIGHT = LABEL_SETS["ravdess8"]
TWELVE = (*EIGHT, "disappointment", "contentedness", "embarrassment", "determination")  # 14 characters at most
NOISES = ("rain", "wind", "traffic", "babble", "washing_machine", "vacuum_cleaner", "crackling_fire")
CORPORA = ("ravdess", "emodb", "nemo", "tess", "aesdd")
DRAWS = 50


def example(labels: tuple[str, ...] = EIGHT, speakers: int = 24, seen: str = "unseen") -> dict[str, Any]:
    """Return all parts, 30 clips a speaker; with fewer than five speakers there are no intervals."""
    return deepcopy(_example(labels, speakers, seen))


@cache
def _example(labels: tuple[str, ...], speakers: int, seen: str) -> dict[str, Any]:
    random = np.random.default_rng(7)
    clips, classes = 30 * speakers, len(labels)
    names = [f"ravdess/{1 + clip // 30:02d}" for clip in range(clips)]
    targets = np.arange(clips) % classes
    scores = random.dirichlet(np.full(classes, 0.4), clips)
    scores[np.arange(clips), targets] += random.random(clips)
    scores /= scores.sum(axis=1, keepdims=True)
    answers = scores.argmax(axis=1)
    answers[0] = -1
    resample = Resample(names, draws=DRAWS)

    def guessed(share: float) -> Indices:
        return np.where(random.random(clips) < share, random.integers(0, classes, clips), answers)

    def ua(answered: Indices) -> dict[str, Any]:
        found = classification(targets, answered, labels, resample)
        return {"ua": found["ua"]["value"], "wa": found["wa"]["value"]} | {k: found["ua"][k] for k in ("low", "high")}

    noisy = [
        {"kind": kind, "level": f"{snr} dB", "value": float(snr), **ua(guessed((25 - snr) / (60 - 5 * number)))}
        for number, kind in enumerate(NOISES)
        for snr in (20, 15, 10, 5, 0, -5)
    ]
    changes = (
        ("opus", "16 kbit/s", 16.0),
        ("telephone", "", None),
        ("gain", "-20 dB", -20.0),
        ("clipping", "5 %", 5.0),
    )
    columns = {
        "gender": ["f" if int(name[-2:]) % 2 else "m" for name in names],
        "speaker": names,
        "duration": duration_bins(random.uniform(1, 6, clips)),
    }
    met = {"status": seen, "speakers": [], "utterances": 0, "message": f"the model says {seen}"}
    return {
        "format": 1,
        "date": "2026-11-21",
        "versions": {"sercli": "0.1.0", "numpy": "2.0"},
        "model": {
            **{"kind": "bundle", "name": "micro", "id": "micro@0123456789ab", "sha256": {"model.onnx": "ab" * 32}},
            **{"precision": "float32", "parameters": 244_087, "labels": list(labels)},
        },
        "data": {
            **{"corpora": {"ravdess": clips}, "protocol": "ravdess-emobox6", "source": "EmoBox"},
            **{"label_set": "native", "labels": list(labels), "utterances": clips, "speakers": speakers},
            **{"seconds": 3.5 * clips, "left_out": {"boredom": 81}, "table_sha256": "ef" * 32},
        },
        "seen": met,
        "development": "two speakers of the training side",
        "seed": 12_345,
        "bootstrap": {"draws": DRAWS, "level": 0.95, "unit": "speaker", "seed": 0},
        "figures": classification(targets, answers, labels, resample),
        "folds": {str(fold): {"ua": 60.0 + fold, "wa": 61.0, "clips": 9, "speakers": ["01"]} for fold in (1, 2)},
        "over_folds": {"ua": {"mean": 61.5, "std": 0.5}, "wa": {"mean": 61.0, "std": 0.0}},
        "calibration": calibration(scores, targets, labels, resample, threshold=0.4),
        "groups": groups(targets, answers, labels, columns, names, draws=DRAWS),
        "robustness": {
            "clean": ua(answers),
            "cells": noisy + [{"kind": k, "level": lv, "value": v, **ua(guessed(0.1))} for k, lv, v in changes],
            "seed": 0,
            "noise_files": {"rain": {"files": ["rain/1.wav", "rain/2.wav"], "sha256": "12" * 32}},
        },
        "cost": {
            **{"parameters": 244_087, "files": {"model.onnx": 1_200_000}, "macs_per_second": 21_500_000},
            **{"clip_ms": 4.4, "real_time_factor": 0.0015, "load_ms": 41.0, "peak_memory_mb": 96.2},
            "reference": {"ratio_to_matmul": 2.75, "ratio_to_imports": 1.35},
        },
        "against": {
            "model": {"name": "nano", "id": "nano@ba9876543210"},
            "seen": met,
            **compare(targets, answers, guessed(0.02), labels, names, draws=DRAWS),
        },
        "pairs": {
            train: {
                test: {**ua(guessed(0.6)), "labels": list(labels), "clips": clips} for test in CORPORA if test != train
            }
            for train in CORPORA
        },
        "over_pairs": {"ua": 40.0, "wa": 41.0, "chance": 12.5},
    }

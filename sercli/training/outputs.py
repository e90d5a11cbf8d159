"""What a teacher learns besides the class of a clip: the speaker's gender, and the annotators' ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, RecipeError
from sercli.evaluation.dimensional import ccc
from sercli.evaluation.metrics import unweighted_accuracy
from sercli.evaluation.task import ratings
from sercli.methods.terms import discordance
from sercli.models.heads import OUTPUTS
from sercli.nearest import nearest_or_all
from sercli.runtime.prediction import DIMENSIONS

GENDERS = ("f", "m")
LEAST_BATCH = 32  # clips a step; the CCC of fewer is mostly chance


def check_outputs(weights: Mapping[str, float], batch: int, of: Sequence[str] = tuple(OUTPUTS)) -> None:
    """Check the recipe's outputs.

    Args:
        weights: output to the weight of its loss
        batch: clips a step
        of: the outputs that this kind of model may have

    Raises:
        RecipeError: an unknown name, with the nearest, a weight that is no number above 0, or batches too small
    """
    for name, weight in weights.items():
        if name not in OUTPUTS:
            raise RecipeError(f"outputs.{name}: no such output; {nearest_or_all(name, OUTPUTS)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            raise RecipeError(f"outputs.{name}: must be above 0, the weight of its loss, not {weight!r}")
        if name not in of:
            raise RecipeError(f"outputs.{name}: of a teacher that is trained alone; a student may have {', '.join(of)}")
    if "dimensions" in weights and batch < LEAST_BATCH:
        raise RecipeError(f"optim.batch: outputs.dimensions compares {LEAST_BATCH} clips or more a step, not {batch}")


def targets_of(utterances: Sequence[Utterance], names: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Look up what is known of clips.

    Returns:
        `gender` one-hot in the order of GENDERS, zeros if unknown, shape (clips, 2); `dimensions` from 0 to 1 in the
        order of DIMENSIONS, NaN if unknown, shape (clips, 3); those asked for

    Raises:
        CorpusError: a rating outside its corpus's scale
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    if "gender" in names:
        rows = [[float(utterance.gender == gender) for gender in GENDERS] for utterance in utterances]
        found["gender"] = np.array(rows, np.float32)
    if "dimensions" in names:
        found["dimensions"] = ratings(utterances).astype(np.float32)
    return found


def check_known(utterances: Sequence[Utterance], names: Sequence[str]) -> None:
    """Refuse to learn what no training clip tells.

    Raises:
        CorpusError: an output without a single target
    """
    for name, values in targets_of(utterances, names).items():
        if not np.nan_to_num(values).any():
            raise CorpusError(f"outputs.{name}: known of no training clip; leave it out or choose other corpora")


def output_loss(name: str, found: Tensor, targets: Tensor) -> Tensor:
    """Loss of a further output over the clips of which it is known; 0 if of none.

    Args:
        name: `gender`: cross-entropy; `dimensions`: 1 - CCC (Lin 1989), mean of the three; one whose ratings hardly
            differ in the batch counts 1 and gives no gradient
        found: what the network says, shape (batch, width)
        targets: as `targets_of`, perhaps blended by mixup, same shape
    """
    if name == "gender":
        known = targets.sum()
        return -(targets * torch.log_softmax(found, dim=-1)).sum() / known.clamp(min=torch.finfo(known.dtype).tiny)
    terms = [
        discordance(x[known], y[known]) for x, y, known in zip(targets.T, found.T, targets.T.isfinite(), strict=True)
    ]
    return torch.stack(terms).mean()


def output_figures(
    found: Mapping[str, npt.NDArray[np.float32]], utterances: Sequence[Utterance]
) -> dict[str, dict[str, float | int]]:
    """Figures of the further outputs: UA of gender in percent, CCC of each dimension, and over how many clips.

    Args:
        found: output name to what was said, shape (clips, width); the classes are passed over
        utterances: in the same order
    """
    figures: dict[str, dict[str, float | int]] = {}
    for name, targets in targets_of(utterances, list(found)).items():
        if name == "gender":
            known = targets.any(axis=1)
            if known.any():
                right, said = targets[known].argmax(axis=1), found[name][known].argmax(axis=1)
                ua = round(100.0 * unweighted_accuracy(right, said, len(GENDERS)), 2)
                figures[name] = {"ua": ua, "clips": int(known.sum())}
            continue
        known = np.isfinite(targets)
        rated = {dimension: column.any() for dimension, column in zip(DIMENSIONS, known.T, strict=True)}
        agreement = {
            dimension: round(ccc(x, y), 4)
            for dimension, x, y in zip(DIMENSIONS, targets.T, found[name].T, strict=True)
            if rated[dimension]
        }
        if agreement:
            figures[name] = {**agreement, "clips": int(known.any(axis=1).sum())}
    return figures

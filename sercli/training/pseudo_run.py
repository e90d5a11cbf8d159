"""Stage B of GMP-ATL: number the frames of stage A's states by k-means, and train its encoder to say the numbers.

    clusters.safetensors    centres, mean and deviation of every (layer, k)
    labels.safetensors      the number of every frame of every clip, at the encoder's own frame rate
    clusters.json, *.png    what the clusters hold; see evaluation.cluster_report
    model.safetensors       trained layers, which stage C begins with, and the heads of the numbers

Nobody selects: a pseudo-label that is learned well is no aim in itself, so the last epoch is what goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import set_seed

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import BundleError
from sercli.evaluation.cluster_report import describe, draw_clusters
from sercli.models import students
from sercli.models.encoder import Encoder
from sercli.models.teacher import FrameLabeller
from sercli.training.clusters import Clustering, check_fitted, fit_clusters, kept_features, load_clusters, save_clusters
from sercli.training.lessons import Lessons
from sercli.training.loop import Feed, history, make_trainer
from sercli.training.pseudo_learner import LabelledFrames, LabellerLearner, Numbers, collate_frames
from sercli.training.recipe import Recipe
from sercli.training.recipe_gmp import GmpAtl
from sercli.training.run_folder import CHECKPOINT, METRICS, WEIGHTS, material, prepare, write_json
from sercli.training.store import FULL_SCALE, AudioStore
from sercli.training.teacher_fill import claim, seconds_of
from sercli.training.teacher_run import TRANSDUCTIVE, heard_as, open_trunk
from sercli.training.trainer import Trained, training_sides

ARCHITECTURE = "frame-labeller"
CLUSTERS = "clusters.safetensors"
LABELS = "labels.safetensors"
REPORT = "clusters.json"

Source = Callable[[Sequence[Utterance]], AudioStore | Lessons]


def train_labeller(
    recipe: Recipe,
    split: Split,
    folder: Path,
    *,
    start: Path,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Trained:
    """Fit the clusters, number the frames, and train the encoder on them.

    Args:
        recipe: with the method and its scales
        split: of the run
        folder: of the stage
        start: weights of stage A
        resume: go on from the last checkpoint in the folder, with the clusters that are there
        overwrite: start anew
        quiet: no progress bars

    Raises:
        LeakError: clusters would be fitted to a speaker that is held out
        CorpusError: fewer frames than clusters
        RecipeError, BundleError, ModelNotFoundError, OutputError: as `train_teacher`
    """
    plan = GmpAtl.of(recipe.method)
    split = training_sides(recipe, split)
    fitted = [*split.train, *(split.test if plan.transductive else [])]
    check_fitted(fitted, split, plan.transductive)
    encoder, layers = open_trunk(recipe.encoder, start)
    encoder.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    scales = plan.scales_of(encoder.layers)
    last = prepare(folder, recipe, resume, overwrite)
    every = [*split.train, *split.dev, *split.test]
    source = heard_as(encoder, recipe.encoder, layers, "mean", every, quiet)
    listener = _Listener(encoder, source, sorted({layer for layer, _ in scales}))
    if not (resume and (folder / LABELS).exists()):
        _number(listener, every, fitted, scales, folder, recipe.seed, quiet)
    clusterings, numbers = load_clusters(folder / CLUSTERS), load_numbers(folder / LABELS, len(every))
    row = {utterance.stretch: number for number, utterance in enumerate(every)}

    def of(some: Sequence[Utterance]) -> list[Numbers]:
        return [numbers[row[utterance.stretch]] for utterance in some]

    report = describe([one.scale for one in clusterings], of(split.train), split.train)
    write_json(folder / REPORT, report)
    draw_clusters(report, folder)
    set_seed(recipe.seed)
    share = plan.mask_share if plan.frames == "masked" else 0.0
    network = FrameLabeller(encoder, scales, share, plan.mask_frames, recipe.optim.bf16)
    learner = LabellerLearner(network, recipe.optim.average)
    frames = LabelledFrames(source(fitted), of(fitted), encoder.frame_rate, recipe.augment)
    feed = Feed(frames, frames.lengths, np.ones(len(fitted)), collate_frames)
    slow = (network.slow, recipe.encoder.lr)
    trainer = make_trainer(learner, feed, recipe.optim, folder, seed=recipe.seed, quiet=quiet, slow=slow)
    trainer.train(resume_from_checkpoint=last)
    network = learner.best.eval().requires_grad_(False)
    students.save_weights(network, folder / WEIGHTS)
    chance = {name: scale["largest"] for name, scale in report["scales"].items()}
    sides = (("dev", split.dev), ("test", split.test))
    figures = {side: _agreement(network, source(some), of(some)) if some else None for side, some in sides}
    metrics = {
        **figures,
        "largest_cluster": chance,
        **({TRANSDUCTIVE: True} if plan.transductive else {}),
        "material": material(split, fitted[len(split.train) :]),
        "history": history(trainer),
    }
    facts = {"sha256": encoder.sha256, "cut": encoder.cut, "scales": [list(scale) for scale in scales]}
    write_json(folder / METRICS, metrics)
    write_json(folder / CHECKPOINT, {"name": recipe.name, "architecture": ARCHITECTURE, "encoder": facts})
    return Trained(folder, figures["dev"], figures["test"])


@dataclass(frozen=True)
class _Listener:
    """Gives the states of chosen layers, clip by clip and whole."""

    encoder: Encoder
    source: Source
    layers: Sequence[int]

    def states(self, utterances: Sequence[Utterance], quiet: bool) -> Any:
        """Go through clips: layer to states, shape (frames, width), for each."""
        heard = self.source(utterances)
        device = next(self.encoder.parameters()).device
        for number in tqdm(range(len(utterances)), "hearing frames", leave=False, unit="clip", disable=quiet or None):
            with torch.inference_mode():
                clip, count = whole_clip(heard, number)
                of_states = clip.ndim == 3
                run = self.encoder.above if of_states else self.encoder
                encoded = run(clip.to(device), count)
            first = self.encoder.cut if of_states else 0
            yield {layer: encoded.states[layer - first][0].cpu().numpy() for layer in self.layers}


def whole_clip(heard: AudioStore | Lessons, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a batch of one clip: samples (1, samples) or states (1, frames, width), and how many."""
    if isinstance(heard, AudioStore):
        clip = torch.from_numpy(heard[number].astype(np.float32) / FULL_SCALE)
    else:
        assert heard.frames is not None
        clip = torch.from_numpy(heard.frames(number)[:, 0].astype(np.float32))
    return clip[None], torch.tensor([len(clip)])


def load_numbers(file: Path, clips: int) -> list[Numbers]:
    """Read the number of every frame, clip by clip, each of shape (frames, scales).

    Raises:
        BundleError: it cannot be read, or is of other clips
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(file)
    except (OSError, SafetensorError) as problem:
        raise BundleError(f"{file}: cannot read the labels ({problem}); train the stage anew") from problem
    if len(found["counts"]) != clips:
        raise BundleError(f"{file}: of {len(found['counts'])} clips, not {clips}; train the stage anew")
    return np.split(found["numbers"], np.cumsum(found["counts"])[:-1])


def _number(
    listener: _Listener,
    every: Sequence[Utterance],
    fitted: Sequence[Utterance],
    scales: Sequence[tuple[int, int]],
    folder: Path,
    seed: int,
    quiet: bool,
) -> None:
    """Fit the clusters to some clips, number the frames of all, and write both."""
    from safetensors.numpy import save_file

    seconds = sum(seconds_of(fitted))
    frame = listener.encoder.width * np.dtype(np.float16).itemsize * len(listener.layers)  # bytes
    claim(folder, f"frames of {len(fitted)} clips", seconds * listener.encoder.frame_rate * frame, quiet)
    with kept_features(folder, listener.states(fitted, quiet)) as features:
        clusterings = fit_clusters(features, scales, seed)
    save_clusters(clusterings, folder / CLUSTERS)
    numbers = [_numbers(clusterings, states) for states in listener.states(every, quiet)]
    counts = np.array([len(clip) for clip in numbers], np.int64)
    partial = folder / f"{LABELS}.part"
    save_file({"numbers": np.concatenate(numbers), "counts": counts}, partial)
    partial.replace(folder / LABELS)


def _numbers(clusterings: Sequence[Clustering], states: dict[int, npt.NDArray[np.float32]]) -> Numbers:
    halves = {layer: frames.astype(np.float16) for layer, frames in states.items()}  # as the clusters were fitted
    return np.stack([one.numbers(halves[one.layer]) for one in clusterings], axis=1)


def _agreement(network: FrameLabeller, heard: AudioStore | Lessons, numbers: Sequence[Numbers]) -> dict[str, float]:
    """Share of frames whose number the network says, in percent, by scale."""
    right, frames = np.zeros(len(network.heads)), 0
    device = next(network.parameters()).device
    for number, aim in enumerate(numbers):
        clip, count = whole_clip(heard, number)
        with torch.inference_mode():
            said, _, _ = network(clip.to(device), count.to(device))
        found = np.stack([logits[0].argmax(dim=1).cpu().numpy() for logits in said.values()], axis=1)
        right += (found == aim).sum(axis=0)
        frames += len(aim)
    return {name: round(100.0 * share, 2) for name, share in zip(network.heads, right / frames, strict=True)}

"""One teacher's training run: an encoder, frozen or trained in part, and a head on its layers.

A frozen encoder hears every clip once, in the cache; what is trained is the head on its states, in seconds an epoch.
Layers that are trained hear the waveforms in every epoch; the gradients stop below the lowest of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import set_seed

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, RecipeError
from sercli.fields import from_dict
from sercli.labels import labels_of
from sercli.methods import build_methods
from sercli.methods.am_softmax import AdditiveMarginSoftmax
from sercli.methods.base import Method, StudentShapes
from sercli.methods.ce import CrossEntropy
from sercli.models import students
from sercli.models.encoder import Encoder, EncoderSource, load_encoder
from sercli.models.heads import HeadArguments, TeacherHead
from sercli.models.teacher import ARCHITECTURE, Teacher
from sercli.training.lessons import Lessons
from sercli.training.loop import Feed, Items, balanced, make_trainer
from sercli.training.noise import training_noise
from sercli.training.outcome import conclude
from sercli.training.outputs import check_known, check_outputs, output_figures
from sercli.training.recipe import Recipe
from sercli.training.recipe_teacher import EncoderPart, TrunkPart
from sercli.training.run_folder import WEIGHTS, prepare
from sercli.training.store import AudioStore, open_store
from sercli.training.teacher import hear_with, layers_of
from sercli.training.teacher_learner import TeacherClips, TeacherLearner, collate_teacher
from sercli.training.trainer import Trained, training_sides

OF_LABELS = (CrossEntropy.name, AdditiveMarginSoftmax.name)
"""Methods that a teacher can be trained with."""
TRANSDUCTIVE = "transductive"
"""In metrics.json: the test speakers were heard in training, though without labels."""
_PREFIX = "encoder."  # of an encoder's weights among a teacher's


def train_teacher(
    recipe: Recipe,
    split: Split,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    start: Path | None = None,
    also_heard: Sequence[Utterance] = (),
    asked: Recipe | None = None,
) -> Trained:
    """Train a teacher on a split and keep its best epoch, chosen as a student's.

    Args:
        recipe: with an encoder
        split: speaker-disjoint utterances, already in the recipe's label set
        folder: where weights, checkpoints, resolved recipe and metrics go
        resume: go on from the last checkpoint in the folder
        overwrite: start anew in a folder that holds a run
        quiet: no progress bar
        start: weights of an earlier training of the same layers, which the encoder begins with; the head begins anew
        also_heard: utterances that those know, though without labels
        asked: the recipe of which this training is a stage, and which stands beside the weights

    Raises:
        RecipeError: a part of the recipe that a teacher cannot be trained with, or a layer the encoder does not have
        LeakError: a speaker stands on two sides
        CorpusError: no training or development utterances, or a further output known of none
        BundleError, ModelNotFoundError: as `load_encoder`
        OutputError: the folder holds a run already, or the cache cannot be written
    """
    split = training_sides(recipe, split)
    arguments = from_dict(HeadArguments, recipe.head, "head.")
    methods = _methods(recipe, arguments.scale)
    check_known(split.train, list(recipe.outputs))
    trunk, labels = recipe.encoder, labels_of(recipe.corpus.labels)
    encoder, layers = open_trunk(trunk, start)
    last = prepare(folder, asked or recipe, resume, overwrite)
    every = [*split.train, *split.dev, *split.test]
    source = heard_as(encoder, trunk, layers, arguments.pooling, every, quiet)
    set_seed(recipe.seed)
    head = TeacherHead(arguments, len(layers), encoder.width, len(labels), tuple(recipe.outputs))
    teacher = Teacher(encoder, layers, head, recipe.optim.bf16)
    network = teacher if trunk.trained_layers else head
    trained, slow = teacher.trained_parameters, teacher.slow
    learner = TeacherLearner(network, methods, recipe.outputs, recipe.augment, recipe.optim.average)

    def items(utterances: list[Utterance]) -> Items:
        return TeacherClips(utterances, source(utterances), labels, tuple(recipe.outputs))

    heard = source(split.train)
    drawn, weights = balanced(split.train, recipe.optim)
    noise = training_noise(recipe.augment.noise, split.train, heard) if isinstance(heard, AudioStore) else None
    rate = encoder.frame_rate if trunk.cached else 0.0
    clips = TeacherClips(split.train, heard, labels, tuple(recipe.outputs), recipe.augment, weights, noise, rate)
    lengths = _lengths(heard, len(split.train))
    feed = Feed(clips, lengths, drawn, collate_teacher, items(split.dev) if split.dev else None)
    trainer = make_trainer(learner, feed, recipe.optim, folder, seed=recipe.seed, quiet=quiet, slow=(slow, trunk.lr))
    trainer.train(resume_from_checkpoint=last)
    best = learner.best.eval().requires_grad_(False)
    teacher = best if isinstance(best, Teacher) else Teacher(encoder, layers, best)
    students.save_weights(teacher, folder / WEIGHTS)
    facts = {
        "architecture": ARCHITECTURE,
        "encoder": {
            "name": trunk.name,
            "revision": encoder.revision,
            "sha256": encoder.sha256,
            "layers": list(layers),
            "trained_layers": trunk.trained_layers,
            "convolutions": trunk.convolutions,
        },
        "arguments": dataclasses.asdict(arguments),
        "outputs": list(recipe.outputs),
        "parameters": students.parameter_count(teacher),
        "trained_parameters": trained,
    }
    shares = teacher.head.mix.weights.tolist()
    report = {
        "layer_weights": {str(layer): round(share, 4) for layer, share in zip(layers, shares, strict=True)},
        **({TRANSDUCTIVE: True} if also_heard else {}),
    }
    further = output_figures if recipe.outputs else None
    figures = conclude(
        recipe, split, folder, trainer, items, facts, further=further, report=report, also_heard=also_heard
    )
    return Trained(folder, *figures)


def open_trunk(trunk: TrunkPart, start: Path | None = None) -> tuple[Encoder, tuple[int, ...]]:
    """Load a recipe's encoder, choose what is trained of it, and find the layers that a head is given.

    Args:
        trunk: the recipe's encoder section
        start: weights of an earlier training of the same layers

    Raises:
        RecipeError: a layer that the encoder does not have, or of which nothing is cached
        BundleError, ModelNotFoundError: as `load_encoder`; or `start` is of other layers
    """
    encoder = load_encoder(EncoderSource(trunk.name, trunk.revision))
    layers = layers_of(encoder, trunk.layers, "encoder.layers")
    encoder.unfreeze(trunk.trained_layers, trunk.convolutions)
    if trunk.cached:
        layers = layers if trunk.layers else tuple(layer for layer in layers if layer >= encoder.cut)
        check_cached(trunk, encoder, layers, "encoder.layers")
    if start is not None:
        load_trained(encoder, start)
    return encoder, layers


def check_cached(trunk: TrunkPart, encoder: Encoder, layers: Sequence[int], key: str) -> None:
    """Refuse layers below the one whose states are cached.

    Raises:
        RecipeError: names the key
    """
    if trunk.cached and (lower := [layer for layer in layers if layer < encoder.cut]):
        raise RecipeError(
            f"{key}: encoder.cached keeps the states of layer {encoder.cut}, not of layer {lower[0]} below it; choose "
            f"layers {encoder.cut} to {encoder.layers}, or set encoder.cached=false"
        )


def load_trained(encoder: Encoder, file: Path) -> None:
    """Give the trained layers of an encoder the weights that another training of them left.

    Raises:
        BundleError: they are of other layers
    """
    from safetensors.torch import load_file

    weights = {key.removeprefix(_PREFIX): value for key, value in load_file(file).items() if key.startswith(_PREFIX)}
    trained = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    if weights.keys() != trained:
        wrong = sorted(weights.keys() ^ trained)[0]
        raise BundleError(f"{file}: not of the layers that are trained here ({wrong}); train it anew")
    encoder.load_state_dict(weights, strict=False)


def heard_as(
    encoder: Encoder, trunk: TrunkPart, layers: Sequence[int], pooling: str, every: Sequence[Utterance], quiet: bool
) -> Callable[[Sequence[Utterance]], AudioStore | Lessons]:
    """Choose how clips come to a teacher: as audio, or as cached states of what is frozen of its encoder.

    Args:
        encoder: of the teacher
        trunk: the recipe's encoder section
        layers: that a head on a frozen encoder is given
        pooling: of that head
        every: all utterances that will be asked for
        quiet: no progress bar
    """
    if trunk.trained_layers == 0:
        return frozen_states(encoder, EncoderPart(trunk.name, trunk.revision, tuple(layers)), pooling, every, quiet)
    if trunk.cached:
        below = EncoderPart(trunk.name, trunk.revision, (encoder.cut,))
        return frozen_states(encoder, below, "attentive", every, quiet)  # which takes frames
    return open_store


def load_teacher(folder: Path, checkpoint: Mapping[str, Any]) -> Teacher:
    """Rebuild a teacher from its run folder and the encoder it stands on.

    Args:
        folder: of a finished run
        checkpoint: its checkpoint.json

    Raises:
        BundleError: the encoder's weights are not those it was trained on, or the run's own are not its
        ModelNotFoundError: the encoder is not there
    """
    facts = checkpoint["encoder"]
    encoder = load_encoder(EncoderSource(facts["name"], facts["revision"]))
    if encoder.sha256 != facts["sha256"]:
        found = f"sha256 {encoder.sha256[:12]}, not {facts['sha256'][:12]}"
        raise BundleError(
            f"{folder}: trained on other weights of {facts['name']} ({found}); restore those or train anew"
        )
    encoder.unfreeze(facts["trained_layers"], facts["convolutions"])
    arguments, outputs = HeadArguments(**checkpoint["arguments"]), tuple(checkpoint["outputs"])
    head = TeacherHead(arguments, len(facts["layers"]), encoder.width, len(checkpoint["labels"]), outputs)
    teacher = Teacher(encoder, facts["layers"], head)
    students.load_weights(teacher, folder / WEIGHTS)
    return teacher.eval().requires_grad_(False)


def frozen_states(
    encoder: Encoder, part: EncoderPart, pooling: str, utterances: Sequence[Utterance], quiet: bool
) -> Callable[[Sequence[Utterance]], Lessons]:
    """Let a frozen encoder hear all utterances, and return a function that gives some of them as a head takes them.

    Args:
        encoder: loaded
        part: its name and layers
        pooling: of the head
        utterances: all that will be asked for
        quiet: no progress bar
    """
    attentive = pooling == "attentive"
    heard = hear_with(encoder, part, None if attentive else pooling, utterances, attentive, quiet)
    row = {utterance.stretch: number for number, utterance in enumerate(utterances)}

    def states(some: Sequence[Utterance]) -> Lessons:
        rows = [row[utterance.stretch] for utterance in some]
        if attentive:
            return Lessons(frames=lambda number: heard.frames(rows[number]))
        return Lessons(pooled=heard.pooled[rows])

    return states


def _methods(recipe: Recipe, scale: float) -> list[tuple[str, Method]]:
    """Build the recipe's method, and refuse what a teacher cannot be trained with."""
    check_outputs(recipe.outputs, recipe.optim.batch)
    methods = build_methods(recipe.method)
    for name, method in methods:
        if name not in OF_LABELS:
            raise RecipeError(f"method.{name}: a teacher learns from labels alone; leave {CrossEntropy.name} only")
        method.connect(StudentShapes(0, 0, {}, scale=scale), None)
    if recipe.encoder.trained_layers == 0 or recipe.encoder.cached:
        augment = recipe.augment
        of_waveforms = {
            "speed": augment.speed,
            "gain_db": augment.gain_db,
            "noise.probability": augment.noise.probability,
            "noise.rir_probability": augment.noise.rir_probability,
        }
        for key, strength in of_waveforms.items():
            if strength > 0:
                why = "the states of a frozen encoder are computed once, of clips as they are"
                way = "set encoder.cached=false" if recipe.encoder.cached else "train layers (encoder.trained_layers)"
                raise RecipeError(f"augment.{key}: {why}; set it to 0, or {way}")
    return methods


def _lengths(source: AudioStore | Lessons, clips: int) -> npt.NDArray[np.int64]:
    """How long each clip is in a batch: samples, frames, or all alike."""
    if isinstance(source, AudioStore):
        return source.lengths
    return np.array([0 if source.frames is None else len(source.frames(number)) for number in range(clips)])

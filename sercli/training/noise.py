"""Noise and rooms for training clips, as the recipe's `augment.noise` says, in the loader's processes.

Recordings are those below `train` of each noise type, which no test uses; babble is made of the run's own training
speakers, and never of the clip's own. Everything is decoded before training starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sercli.corpora.table import Utterance
from sercli.errors import RecipeError
from sercli.nearest import nearest
from sercli.noise import Babble, Recordings, Source, coloured, mix, noise_types, pink, sounding, white
from sercli.reverberation import impulse_response, reverberate, rooms
from sercli.training.recipe import NoisePart
from sercli.training.store import AudioStore

Signal = npt.NDArray[np.float32]

SYNTHESISED: dict[str, Source] = {"white": white, "pink": pink, "coloured": coloured}
BABBLE = "babble"


@dataclass(frozen=True)
class TrainingNoise:
    """What a clip is heard in; can be sent to a loader's process."""

    part: NoisePart
    sources: tuple[Source, ...]
    """one for each kind"""
    responses: tuple[Signal, ...]
    """of rooms"""
    speakers: tuple[str, ...]
    """of each utterance, "corpus/speaker"; empty if unknown"""

    def __call__(self, clip: npt.NDArray[np.int16] | Signal, index: int, random: np.random.Generator) -> Signal:
        """Put a clip into a room, then add noise, each or neither.

        Args:
            clip: of the scale of 16-bit samples, shape (samples,); a silent one stays as it is
            index: number of the utterance
            random: decides everything

        Returns:
            same shape and scale, and aligned with the clip
        """
        noisy, part = clip.astype(np.float32), self.part
        heard = sounding(np.rint(clip))  # what a change of speed made of zeros is less than half a step of 16 bits
        if not heard.any():
            return noisy
        if random.random() < part.rir_probability:
            noisy = reverberate(noisy, self.responses[random.integers(len(self.responses))])
        if random.random() < part.probability:
            source = self.sources[random.integers(len(self.sources))]
            noise = source(len(noisy), random, self.speakers[index])
            noisy = mix(noisy, noise, random.uniform(*part.snr_db), heard)
        return noisy


def training_noise(part: NoisePart, utterances: Sequence[Utterance], store: AudioStore) -> TrainingNoise | None:
    """Load what the recipe asks for.

    Args:
        part: the recipe's `augment.noise`
        utterances: that train, whose voices make the babble
        store: their audio

    Returns:
        None where every clip stays clean

    Raises:
        RecipeError: a kind that is neither built in nor a type of the folder with recordings to train with
        CorpusError: a folder holds nothing to train with, or too few speakers for babble
        AudioError: a recording cannot be read
    """
    if part.probability == 0 and part.rir_probability == 0:
        return None
    speakers = tuple(f"{u.corpus}/{u.speaker}" if u.speaker else "" for u in utterances)
    responses: tuple[Signal, ...] = ()
    if part.rir_probability > 0:
        found = rooms(Path(part.rir_folder).expanduser(), "train")
        responses = tuple(impulse_response(file) for file in found.values())
    sources = _sources(part, speakers, store) if part.probability > 0 else ()
    return TrainingNoise(part, sources, responses, speakers)


def _sources(part: NoisePart, speakers: Sequence[str], store: AudioStore) -> tuple[Source, ...]:
    types = noise_types(Path(part.folder).expanduser(), "train") if part.folder else {}
    built_in = (*SYNTHESISED, BABBLE)
    sources: list[Source] = []
    for kind in part.kinds:
        if kind in built_in and kind in types:
            raise RecipeError(f'augment.noise.folder: "{kind}" is built in and also a folder there; rename the folder')
        if kind in SYNTHESISED:
            sources.append(SYNTHESISED[kind])
        elif kind == BABBLE:
            sources.append(Babble.load((who, partial(_voice, store, i)) for i, who in enumerate(speakers) if who))
        elif kind in types:
            sources.append(Recordings.load(types[kind], kind))
        elif not part.folder:
            raise RecipeError(
                f'augment.noise.folder: "{kind}" is recorded noise; name the folder that holds {kind}/train/NAME.wav, '
                f"or take kinds that are built in ({', '.join(built_in)})"
            )
        else:
            known = (*types, *built_in)
            raise RecipeError(
                f'augment.noise.kinds: nothing to train "{kind}" with{nearest(kind, known)}; '
                f"choose from {', '.join(known)}"
            )
    return tuple(sources)


def _voice(store: AudioStore, index: int) -> Signal:
    return store[index].astype(np.float32)  # Babble levels it

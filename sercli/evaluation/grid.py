"""Which corruptions a model is measured under, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sercli.corpora.speech import read_utterance
from sercli.corpora.table import Utterance
from sercli.evaluation.answers import voice
from sercli.evaluation.corruption import KINDS, SNR_DB, Corruption, grid, noise_files
from sercli.noise import ROOMS, noise_types


@dataclass(frozen=True)
class Grid:
    """Kinds of corruption and their levels; no kind: clean speech only."""

    kinds: tuple[str, ...] = ()
    snr_db: tuple[float, ...] = SNR_DB
    noise_folder: Path | None = None
    rir_folder: Path | None = None

    def cells(self, others: Sequence[Utterance]) -> list[Corruption]:
        """Load what is needed.

        Args:
            others: whose voices make the babble; the speaker of a clip never joins in

        Raises:
            UsageError, CorpusError, AudioError: as in `corruption.grid`
        """
        voices = [(voice(u), partial(read_utterance, u)) for u in others if u.speaker] if "babble" in self.kinds else []
        return grid(self.kinds, self.snr_db, self.noise_folder, self.rir_folder, voices)

    def files(self) -> dict[str, Any]:
        """Tell which recordings were mixed in, for metrics.json."""
        return noise_files(self.kinds, self.noise_folder, self.rir_folder)


def every_kind(noise_folder: Path | None, rir_folder: Path | None) -> tuple[str, ...]:
    """Name all kinds there is material for."""
    rooms = rir_folder is not None or (noise_folder is not None and (noise_folder / ROOMS).is_dir())
    recorded = noise_types(noise_folder) if noise_folder else {}
    return (*recorded, *(kind for kind in KINDS if kind != "reverb" or rooms))

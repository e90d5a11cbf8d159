"""A teacher: a speech encoder, frozen or trained in part, and the head on its layers.

Its state is what was trained: the head and the trained layers of the encoder. The frozen weights, hundreds of
megabytes that are on the Hub already, are in no checkpoint; the sha256 of the encoder says which they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sercli.models.encoder import Encoder
from sercli.models.heads import TeacherHead
from sercli.models.students import parameter_count

ARCHITECTURE = "encoder-head"


class Teacher(nn.Module):
    """Samples in, classes and further outputs out.

    Args:
        encoder: with `unfreeze` called for what is trained
        layers: numbers of the layers that the head is given, 0 is the input of the first
        head: on them
        bf16: run the encoder in bfloat16 while training
    """

    def __init__(self, encoder: Encoder, layers: Sequence[int], head: TeacherHead, bf16: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = tuple(layers)
        self.head = head
        self.bf16 = bf16
        self.frozen = frozenset(
            f"encoder.{name}" for name, weight in encoder.named_parameters() if not _trained(weight)
        )
        self.frozen |= {f"encoder.{name}" for name, _ in encoder.named_buffers()}
        self.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_not_missing)  # type: ignore[no-untyped-call]

    @property
    def trained_parameters(self) -> int:
        """Count of the weights that training changes."""
        return parameter_count(self.head) + sum(weight.numel() for weight in self.slow)

    @property
    def slow(self) -> list[nn.Parameter]:
        """Trained weights of the encoder."""
        return [weight for weight in self.encoder.parameters() if _trained(weight)]

    def forward(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Answer a batch of clips.

        Args:
            waveform: mono float32 at 16 kHz, zero-padded on the right, shape (batch, samples)
            lengths: true lengths in samples, int64 (batch,)

        Returns:
            as `TeacherHead.forward`
        """
        half = self.bf16 and self.training
        with torch.autocast(waveform.device.type, dtype=torch.bfloat16, enabled=half):
            encoded = self.encoder(waveform, lengths)
        found: dict[str, Tensor] = self.head(
            torch.stack([encoded.states[layer] for layer in self.layers], dim=1), encoded.counts
        )
        return found


def _trained(weight: Tensor) -> bool:
    return weight.requires_grad


def _without_frozen(teacher: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    assert isinstance(teacher, Teacher)
    for name in teacher.frozen:
        state.pop(prefix + name, None)


def _not_missing(teacher: nn.Module, keys: Any) -> None:
    """Do not call missing what is left out on purpose, wherever in a larger module the teacher stands."""
    assert isinstance(teacher, Teacher)
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(tuple(teacher.frozen))]

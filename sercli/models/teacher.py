"""A teacher: a speech encoder, frozen or trained in part, and the head on its layers.

Its state is what was trained: the head and the trained layers of the encoder. The frozen weights, hundreds of
megabytes that are on the Hub already, are in no checkpoint; the sha256 of the encoder says which they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sercli.models.encoder import Encoder
from sercli.models.heads import TeacherHead
from sercli.models.partial_state import leave_out
from sercli.models.students import parameter_count

ARCHITECTURE = "encoder-head"


class OnEncoder(nn.Module):
    """A network on a speech encoder, whose state is what is trained of both.

    Args:
        encoder: with `unfreeze` called for what is trained
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.frozen = frozenset(
            f"encoder.{name}" for name, weight in encoder.named_parameters() if not _trained(weight)
        )
        self.frozen |= {f"encoder.{name}" for name, _ in encoder.named_buffers()}
        leave_out(self)

    @property
    def slow(self) -> list[nn.Parameter]:
        """Trained weights of the encoder."""
        return [weight for weight in self.encoder.parameters() if _trained(weight)]


class Teacher(OnEncoder):
    """Samples in, classes and further outputs out.

    Args:
        encoder: with `unfreeze` called for what is trained
        layers: numbers of the layers that the head is given, 0 is the input of the first
        head: on them
        bf16: run the encoder in bfloat16 while training
    """

    def __init__(self, encoder: Encoder, layers: Sequence[int], head: TeacherHead, bf16: bool = False) -> None:
        super().__init__(encoder)
        self.layers = tuple(layers)
        self.head = head
        self.bf16 = bf16

    @property
    def trained_parameters(self) -> int:
        """Count of the weights that training changes."""
        return parameter_count(self.head) + sum(weight.numel() for weight in self.slow)

    def forward(self, heard: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Answer a batch of clips.

        Args:
            heard: mono float32 at 16 kHz, zero-padded on the right, shape (batch, samples); or the states below the
                trained layers, shape (batch, frames, width)
            lengths: true lengths in samples or frames, int64 (batch,)

        Returns:
            as `TeacherHead.forward`
        """
        half = self.bf16 and self.training
        of_states = heard.ndim == 3
        with torch.autocast(heard.device.type, dtype=torch.bfloat16, enabled=half):
            encoded = self.encoder.above(heard, lengths) if of_states else self.encoder(heard, lengths)
        first = self.encoder.cut if of_states else 0
        found: dict[str, Tensor] = self.head(
            torch.stack([encoded.states[layer - first] for layer in self.layers], dim=1), encoded.counts
        )
        return found


class FrameLabeller(OnEncoder):
    """A linear head for each clustering of frames on an encoder's last layer: stage B of GMP-ATL.

    Args:
        encoder: with `unfreeze` called for what is trained
        scales: (layer, k) of each clustering; the layer only names it
        mask_share: of frames where a masked run begins; 0 hides nothing
        mask_frames: length of a run
        bf16: run the encoder in bfloat16 while training
    """

    def __init__(
        self,
        encoder: Encoder,
        scales: Sequence[tuple[int, int]],
        mask_share: float = 0.0,
        mask_frames: int = 10,
        bf16: bool = False,
    ) -> None:
        super().__init__(encoder)
        self.mask_share = mask_share
        self.mask_frames = mask_frames
        self.bf16 = bf16
        self.heads = nn.ModuleDict({f"{layer}x{k}": nn.Linear(encoder.width, k) for layer, k in scales})
        self.filler = nn.Parameter(torch.rand(encoder.width)) if mask_share > 0 else None  # in place of what is hidden

    def forward(self, heard: Tensor, lengths: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Answer every frame of a batch of clips; arguments as of `Teacher.forward`.

        Returns:
            scale to logits (batch, frames, k), which frames were hidden, bool (batch, frames), none in evaluation, and
            frames per clip (batch,)
        """
        with torch.autocast(heard.device.type, dtype=torch.bfloat16, enabled=self.bf16 and self.training):
            if heard.ndim == 2:
                below = self.encoder.below(heard, lengths)
                heard, lengths = below.states[0], below.counts
            hidden = torch.zeros(heard.shape[:2], dtype=torch.bool, device=heard.device)
            if self.filler is not None and self.training:
                hidden = mask_runs(lengths, heard.shape[1], self.mask_share, self.mask_frames)
                heard = torch.where(hidden[:, :, None], self.filler.to(heard.dtype), heard)
            encoded = self.encoder.above(heard, lengths)
        said = {name: head(encoded.states[-1]) for name, head in self.heads.items()}
        return said, hidden[:, : encoded.states[-1].shape[1]], encoded.counts


def mask_runs(counts: Tensor, frames: int, share: float, length: int) -> Tensor:
    """Choose runs of frames to hide, as HuBERT does (Hsu et al. 2021): each frame may begin one, and runs may overlap.

    Args:
        counts: frames per clip, shape (batch,)
        frames: of the longest
        share: chance of a frame to begin a run; a clip where none does gets one
        length: of a run

    Returns:
        bool (batch, frames), never after a clip's end
    """
    place = torch.arange(frames, device=counts.device)[None, :]
    begins = (torch.rand(len(counts), frames, device=counts.device) < share) & (place < counts[:, None])
    lonely = ~begins.any(dim=1)
    one = (torch.rand(len(counts), device=counts.device) * counts).long()
    begins |= lonely[:, None] & (place == one[:, None])
    runs = nn.functional.pad(begins.float(), (length - 1, 0))[:, None]
    hidden: Tensor = nn.functional.max_pool1d(runs, length, stride=1)[:, 0] > 0
    return hidden & (place < counts[:, None])


def _trained(weight: Tensor) -> bool:
    return weight.requires_grad

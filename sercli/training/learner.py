"""A student, its methods and its augmentation as one module that transformers' Trainer can train."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sercli.methods.base import Method
from sercli.models.cnn import CnnAttention
from sercli.training.augment import Augmentation
from sercli.training.recipe import AugmentPart


class Learner(nn.Module):
    """Loss in training, logits in evaluation.

    Args:
        student: the network to train
        methods: (recipe name, method)
        augment: the recipe's augment section
        average: decay of the running mean of the weights; 0 keeps none
        bf16: run the student in bfloat16 while training
    """

    def __init__(
        self,
        student: CnnAttention,
        methods: list[tuple[str, Method]],
        augment: AugmentPart,
        average: float = 0.0,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        # Channels last: the same numbers, and convolutions of these shapes train much faster on a CPU.
        self.student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bf16 = bf16
        self.methods = nn.ModuleDict(dict(methods))
        self.augmentation = Augmentation(augment)
        self.decay = average
        # Part of the state, so that a resumed run goes on with the same mean.
        self.average = copy.deepcopy(student).requires_grad_(False) if average > 0 else None
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.updates: Tensor

    @property
    def best(self) -> CnnAttention:
        """The student to evaluate and to keep."""
        return self.student if self.average is None else self.average

    def forward(
        self, waveform: Tensor, lengths: Tensor, labels: Tensor, weights: Tensor, known: Tensor
    ) -> dict[str, Any]:
        """Run one batch.

        Args:
            waveform: shape (batch, samples)
            lengths: in samples, shape (batch,)
            labels: class numbers, shape (batch,)
            weights: loss weights, shape (batch,)
            known: classes that each clip's corpus has, shape (batch, classes)

        Returns:
            `loss` and `logits` (batch, classes)
        """
        targets = nn.functional.one_hot(labels, known.shape[1]).float()
        if self.training:
            with torch.no_grad():
                waveform = self.augmentation.waveform(waveform, lengths)
                log_mel, counts = self.student.frontend(waveform, lengths)
                log_mel = self.augmentation.features(log_mel, counts)
                log_mel, counts, order, share = self.augmentation.mixup(log_mel, counts)
            targets = share * targets + (1.0 - share) * targets[order]
            known = known | known[order]
            with torch.autocast(waveform.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                outputs = self.student.body(log_mel, counts)
            outputs = {name: value.float() for name, value in outputs.items()}
        else:
            outputs = self.best(waveform, lengths)
        batch = {"targets": targets, "known": known, "weights": weights}
        terms = [term for method in self.methods.values() for term in self._terms(method, outputs, batch)]
        return {"loss": torch.stack(terms).sum(), "logits": outputs["logits"]}

    def update_average(self) -> None:
        """Move the running mean towards the student; call after every optimiser step."""
        if self.average is None:
            return
        self.updates += 1
        step = int(self.updates)
        decay = min(self.decay, (1 + step) / (10 + step))  # forget the random start soon
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.student.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1.0 - decay)
                else:
                    mean.copy_(value)

    @staticmethod
    def _terms(method: nn.Module, outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> list[Tensor]:
        assert isinstance(method, Method)
        return list(method.losses(outputs, batch).values())

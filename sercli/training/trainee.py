"""What the training loop trains: a network, the running mean of its weights, and its loss by terms."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Trainee(nn.Module, Generic[Network]):
    """A network with its running mean; a subclass's `forward` gives `loss` and `logits` of a batch.

    Args:
        network: to be trained
        average: decay per step of the running mean of the weights; 0 keeps none
    """

    outputs: tuple[str, ...] = ("logits",)
    """what `forward` gives besides the loss in evaluation, in this order"""

    def __init__(self, network: Network, average: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.decay = average
        # Part of the state, so that a resumed run goes on with the same mean.
        self.average = copy.deepcopy(network).requires_grad_(False) if average > 0 else None
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.updates: Tensor
        self.epoch = 0.0
        """parts of epochs trained so far, for terms that warm up"""
        self._terms: list[dict[str, Tensor]] = []

    @property
    def best(self) -> Network:
        """The network to evaluate and to keep."""
        return self.network if self.average is None else self.average

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Note the loss terms of a step, and add them up."""
        self._terms.append({name: term.detach() for name, term in terms.items()})
        return torch.stack(list(terms.values())).sum()

    def take_terms(self) -> dict[str, float]:
        """Return the mean of every loss term since the last call."""
        taken, self._terms = self._terms, []
        names = dict.fromkeys(name for terms in taken for name in terms)
        return {name: float(torch.stack([terms[name] for terms in taken if name in terms]).mean()) for name in names}

    def update_average(self) -> None:
        """Move the running mean towards the network; call after every optimiser step."""
        if self.average is None:
            return
        self.updates += 1
        step = int(self.updates)
        decay = min(self.decay, (1 + step) / (10 + step))  # forget the random start soon
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1.0 - decay)
                else:
                    mean.copy_(value)

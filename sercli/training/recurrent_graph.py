"""Recurrent layers for ONNX: torch's exporter unrolls nn.GRU to one fixed length, so ONNX's own operator stands in."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def with_recurrent_operators(network: nn.Module) -> nn.Module:
    """Copy a network for the exporter, every nn.GRU (one layer, one direction, batch first) made an ONNX operator.

    The copy cannot run by itself.
    """
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.GRU):
            network.set_submodule(name, _OnnxGru(module))
    return network


class _OnnxGru(nn.Module):
    """GRU-14 of ONNX with the weights of an nn.GRU."""

    def __init__(self, layer: nn.GRU) -> None:
        super().__init__()
        assert layer.num_layers == 1
        assert layer.batch_first
        assert not layer.bidirectional
        self.hidden = layer.hidden_size
        weights = {name: _update_first(value) for name, value in layer.named_parameters()}
        self.register_buffer("inputs", weights["weight_ih_l0"][None])
        self.register_buffer("recurrence", weights["weight_hh_l0"][None])
        self.register_buffer("biases", torch.cat([weights["bias_ih_l0"], weights["bias_hh_l0"]])[None])
        self.inputs: Tensor
        self.recurrence: Tensor
        self.biases: Tensor

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Map (batch, frames, width) to states (batch, frames, hidden)."""
        batch, frames, _ = features.shape
        states = torch.onnx.ops.symbolic(
            "GRU",
            (features.transpose(0, 1), self.inputs, self.recurrence, self.biases),
            # torch, too, applies the reset gate after the product with the state
            {"hidden_size": self.hidden, "linear_before_reset": 1},
            dtype=features.dtype,
            shape=(frames, 1, batch, self.hidden),
        )
        return states.squeeze(1).transpose(0, 1), None


def _update_first(weights: Tensor) -> Tensor:
    """From torch's order of gates (reset, update, new) to ONNX's (update, reset, hidden)."""
    reset, update, new = weights.detach().chunk(3)
    return torch.cat([update, reset, new])

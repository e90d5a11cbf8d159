"""int8: static quantisation of a student's network; its front end stays float, or quiet speech would drown."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from sercli.training.graph import tidy

QUANTISED = ("Conv", "Gemm", "MatMul")


class _Clips:
    """What onnxruntime's calibration reads: one clip at a time, never a padded batch."""

    def __init__(self, clips: Iterable[npt.NDArray[np.float32]]) -> None:
        self._clips: Iterator[npt.NDArray[np.float32]] = iter(clips)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        clip = next(self._clips, None)
        if clip is None:
            return None
        return {"waveform": clip[None, :], "lengths": np.array([len(clip)], dtype=np.int64)}


def quantise(model: Any, clips: Iterable[npt.NDArray[np.float32]]) -> Any:
    """Quantise weights per channel and activations per tensor.

    Args:
        model: float32 student graph
        clips: mono float32 16 kHz waveforms of development speakers, whose ranges set the scales

    Returns:
        ONNX model with the same inputs and outputs
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    network = [node.name for node in model.graph.node if node.op_type in QUANTISED and node.name.startswith("body")]
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="sercli-") as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(model, source)
            quantize_static(
                source,
                target,
                _Clips(clips),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=network,
                calibrate_method=CalibrationMethod.MinMax,
            )
            quantised = onnx.load(target)
    finally:
        logging.disable(previous)
    return tidy(quantised)

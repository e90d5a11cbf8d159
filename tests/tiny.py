"""A tiny student whose right answers are known by arithmetic, and the tones it tells apart; no torch needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000  # Hz
LABELS = ["sad", "neutral", "angry"]  # a 200 Hz, 1 kHz and 3 kHz tone
TONES = {"sad": 200.0, "neutral": 1_000.0, "angry": 3_000.0}  # Hz
SHARPNESS = 2.0
LEAST_SAMPLES = 1_600

# Brightness b = ln(mean of squared differences / mean square) over a clip's true samples; a tone of f Hz has
# b = ln(4 sin^2(pi f / 16000)). logits = -SHARPNESS |b - b of each class's tone|: known answers, whatever the padding.
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
tiny (float[batch, samples] waveform, int64[batch] lengths)
    => (float[batch, {classes}] logits, float[batch, 2] embedding{output})
<float[1, {classes}] centres = {{{centres}}}>
{{
    axis_1 = Constant<value_ints = [1]>()
    zero = Constant<value_int = 0>()
    one = Constant<value_int = 1>()
    samples = Shape<start = 1, end = 2>(waveform)
    first = Constant<value_ints = [0]>()
    count = Squeeze(samples)
    index = Range(zero, count, one)
    index_row = Unsqueeze(index, first)
    length_column = Unsqueeze(lengths, axis_1)
    inside = Less(index_row, length_column)
    mask = Cast<to = 1>(inside)
    length_float = Cast<to = 1>(length_column)
    masked = Mul(waveform, mask)
    before_pads = Constant<value_ints = [0, 1, 0, -1]>()
    before = Pad(masked, before_pads)
    difference = Sub(masked, before)
    difference_masked = Mul(difference, mask)
    difference_squared = Mul(difference_masked, difference_masked)
    squared = Mul(masked, masked)
    difference_sum = ReduceSum<keepdims = 1>(difference_squared, axis_1)
    sum = ReduceSum<keepdims = 1>(squared, axis_1)
    tiny_number = Constant<value_float = 1e-9>()
    upper = Add(difference_sum, tiny_number)
    lower = Add(sum, tiny_number)
    ratio = Div(upper, lower)
    brightness = Log(ratio)
    distance = Sub(brightness, centres)
    apart = Abs(distance)
    sharpness = Constant<value_float = -{sharpness}>()
    logits = Mul(apart, sharpness)
    power = Div(lower, length_float)
    loudness = Log(power)
    embedding = Concat<axis = 1>(brightness, loudness)
{head}}}
"""
DIMENSIONS_HEAD = """
    dull = Neg(brightness)
    three = Concat<axis = 1>(brightness, dull, loudness)
    dimensions = Sigmoid(three)
"""


def brightness(hertz: float) -> float:
    """The tiny student's feature for a tone."""
    return float(np.log(4.0 * np.sin(np.pi * hertz / RATE) ** 2))


def config(**changes: Any) -> dict[str, Any]:
    """A valid config.json of the tiny student."""
    values: dict[str, Any] = {
        "format": 1,
        "name": "tiny",
        "architecture": "brightness",
        "arguments": {},
        "sample_rate": RATE,
        "labels": LABELS,
        "heads": {"logits": len(LABELS)},
        "embedding_size": 2,
        "window_seconds": 1.0,
        "hop_seconds": 0.5,
        "clip_seconds": 4.0,
        "min_seconds": LEAST_SAMPLES / RATE,
        "temperature": 1.0,
        "abstain_threshold": 0.5,
        "parameters": 3,
        "sercli_version": "0.1.0",
    }
    return {**values, **changes}


def dimensions(hertz: float, amplitude: float = 0.3) -> list[float]:
    """Arousal, valence and dominance by the tiny student's dimensions head, for a tone."""
    features = np.array([brightness(hertz), -brightness(hertz), np.log(amplitude**2 / 2.0)])
    return [float(value) for value in 1.0 / (1.0 + np.exp(-features))]


def make_bundle(folder: Path, sharpness: float = SHARPNESS, rates: bool = False, **changes: Any) -> Path:
    """Write a bundle of the tiny student; one that `rates` has a dimensions head."""
    import onnx

    centres = ", ".join(f"{brightness(TONES[label]):.6f}" for label in LABELS)
    output, head = (", float[batch, 3] dimensions", DIMENSIONS_HEAD) if rates else ("", "")
    if rates:
        changes = {"heads": {"logits": len(LABELS), "dimensions": 3}, **changes}
    text = GRAPH.format(classes=len(LABELS), centres=centres, sharpness=sharpness, output=output, head=head)
    graph = onnx.parser.parse_model(text)
    onnx.checker.check_model(graph)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.onnx", "model.int8.onnx"):
        onnx.save(graph, folder / name)
    for name in ("model.safetensors", "README.md", "metrics.json", "recipe.yaml"):
        (folder / name).write_text("{}")
    (folder / "config.json").write_text(json.dumps(config(**changes)))
    return folder


def tone(hertz: float, seconds: float, rate: int = RATE, amplitude: float = 0.3) -> np.ndarray:
    """A sine, float32, shape (samples,)."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)

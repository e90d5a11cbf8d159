"""The ONNX graph of a student: the front end written out in ONNX, the network exported from torch, joined in one.

The front end's tables (window, cosines, sines, mel triangles) are not stored but computed from a few constants inside
the graph. onnxruntime folds them once when it opens the model, so they cost nothing per clip, and a bundle is
0.37 MB smaller: a third of `micro`, and twice the whole of `nano`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from sercli.errors import BundleError
from sercli.models.distil import WhisperFrames
from sercli.models.frontend import (
    ACTIVE_RANGE_NEPERS,
    DYNAMIC_RANGE_NEPERS,
    POWER_FLOOR,
    VARIANCE_RIDGE,
    LogMel,
)
from sercli.models.student import StudentNetwork
from sercli.models.whisper_encoder import FRAME_SAMPLES, WhisperBackbone
from sercli.training.recurrent_graph import with_recurrent_operators

OPSET = 20
IR_VERSION = 10
SLACK_FRAMES = 8  # fewest frames the exporter may assume; shorter clips are padded by the runtime

FRONTEND = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
frontend (float[batch, samples] waveform, int64[batch] lengths)
    => (float[batch, frames, {mels}] log_mel, int64[batch] counts)
<float[{points_count}] points = {{{points}}}>
{{
    zero = Constant<value_int = 0>()
    one = Constant<value_int = 1>()
    first_axis = Constant<value_ints = [0]>()
    second_axis = Constant<value_ints = [1]>()
    last_axis = Constant<value_ints = [2]>()
    axis_0 = Constant<value_ints = [0]>()
    axis_1 = Constant<value_ints = [1]>()
    axes_12 = Constant<value_ints = [1, 2]>()

    half = Constant<value_int = {half}>()
    bins = Constant<value_int = {bins}>()
    n = Range(zero, half, one)
    k = Range(zero, bins, one)
    n_column = Unsqueeze(n, axis_1)
    k_row = Unsqueeze(k, axis_0)
    two = Constant<value_int = 2>()
    shift = Constant<value_int = {shift}>()
    twice_n = Mul(n_column, two)
    steps = Add(twice_n, shift)
    turns = Mul(steps, k_row)
    period = Constant<value_int = {period}>()
    wrapped = Mod(turns, period)
    wrapped_double = Cast<to = 11>(wrapped)
    radians = Constant<value = double {{{radians}}}>()
    phase = Mul(wrapped_double, radians)
    n_double = Cast<to = 11>(n_column)
    window_radians = Constant<value = double {{{window_radians}}}>()
    window_phase = Mul(n_double, window_radians)
    window_cosine = Cos(window_phase)
    a_half = Constant<value = double {{0.5}}>()
    window_swing = Mul(window_cosine, a_half)
    window = Sub(a_half, window_swing)
    plain_cosines = Cos(phase)
    exact_cosines = Mul(plain_cosines, window)
    cosines = Cast<to = 1>(exact_cosines)
    plain_sines = Sin(phase)
    exact_sines = Mul(plain_sines, window)
    sines = Cast<to = 1>(exact_sines)

    k_float = Cast<to = 1>(k)
    k_column = Unsqueeze(k_float, axis_1)
    spacing = Constant<value_float = {spacing}>()
    hertz = Mul(k_column, spacing)
    to_last = Constant<value_ints = [{mels}]>()
    to_upper = Constant<value_ints = [{mels_1}]>()
    to_end = Constant<value_ints = [{mels_2}]>()
    lower = Slice(points, first_axis, to_last, axis_0)
    centre = Slice(points, second_axis, to_upper, axis_0)
    upper = Slice(points, last_axis, to_end, axis_0)
    above_lower = Sub(hertz, lower)
    rise_width = Sub(centre, lower)
    rise = Div(above_lower, rise_width)
    below_upper = Sub(upper, hertz)
    fall_width = Sub(upper, centre)
    fall = Div(below_upper, fall_width)
    triangle = Min(rise, fall)
    nothing = Constant<value_float = 0.0>()
    filters = Max(triangle, nothing)

    pads = Constant<value_ints = [0, 0, 0, {pad}]>()
    padded = Pad(waveform, pads)
    hop = Constant<value_ints = [{hop}]>()
    padded_samples = Shape<start = 1, end = 2>(padded)
    hops = Div(padded_samples, hop)
    used_samples = Mul(hops, hop)
    used = Slice(padded, first_axis, used_samples, axis_1)
    hop_shape = Constant<value_ints = [0, -1, {hop}]>()
    by_hop = Reshape(used, hop_shape)
    minus_one = Constant<value_ints = [-1]>()
{parts}
    frames_all = Concat<axis = 2>({part_names})
    half_list = Constant<value_ints = [{half}]>()
    left = Slice(frames_all, first_axis, half_list, last_axis)
    right_start = Constant<value_ints = [{right_start}]>()
    right_end = Constant<value_ints = [{right_end}]>()
    right = Slice(frames_all, right_start, right_end, last_axis, minus_one)
    even = Add(left, right)
    odd = Sub(left, right)
    real = MatMul(even, cosines)
    imaginary = MatMul(odd, sines)
    real_power = Mul(real, real)
    imaginary_power = Mul(imaginary, imaginary)
    power = Add(real_power, imaginary_power)
    mel_power = MatMul(power, filters)
    floor = Constant<value_float = {floor}>()
    floored = Add(mel_power, floor)
    log_power = Log(floored)

    window_samples = Constant<value_int = {window}>()
    hop_samples = Constant<value_int = {hop}>()
    inside = Sub(lengths, window_samples)
    whole = Div(inside, hop_samples)
    counted = Add(whole, one)
    counts = Max(counted, one)
    frames_list = Shape<start = 1, end = 2>(log_power)
    frames_count = Squeeze(frames_list, axis_0)
    frame = Range(zero, frames_count, one)
    frame_row = Unsqueeze(frame, axis_0)
    counts_column = Unsqueeze(counts, axis_1)
    is_inside = Less(frame_row, counts_column)
    mask_flat = Cast<to = 1>(is_inside)
    mask = Unsqueeze(mask_flat, last_axis)
    inside_wide = Unsqueeze(is_inside, last_axis)
    silence = Constant<value_float = {silence}>()
    heard = Where(inside_wide, log_power, silence)
    loudest = ReduceMax<keepdims = 1>(heard, axes_12)
    depth = Constant<value_float = {depth}>()
    quietest = Sub(loudest, depth)
    clamped = Max(log_power, quietest)
    frame_power = ReduceSum<keepdims = 1>(mel_power, last_axis)
    frame_floored = Add(frame_power, floor)
    level = Log(frame_floored)
    level_heard = Where(inside_wide, level, silence)
    loudest_frame = ReduceMax<keepdims = 1>(level_heard, axis_1)
    below = Sub(level, loudest_frame)
    active_range = Constant<value_float = {active}>()
    share = Div(below, active_range)
    one_float = Constant<value_float = 1.0>()
    raised = Add(share, one_float)
    clipped = Clip(raised, nothing, one_float)
    activity = Mul(clipped, mask)
    sounding = Mul(clamped, activity)
    total = ReduceSum<keepdims = 1>(sounding, axis_1)
    frames_active = ReduceSum<keepdims = 1>(activity, axis_1)
    mean_band = Div(total, frames_active)
    mean = {mean}
    centred = Sub(clamped, mean)
    squared = Mul(centred, centred)
    counted_squares = Mul(squared, activity)
    energy = ReduceSum<keepdims = 1>(counted_squares, axes_12)
    mels_float = Constant<value_float = {mels}.0>()
    cells = Mul(frames_active, mels_float)
    variance = Div(energy, cells)
    ridge = Constant<value_float = {ridge}>()
    guarded = Add(variance, ridge)
    deviation = Sqrt(guarded)
    normalised = Div(centred, deviation)
    log_mel = Mul(normalised, mask)
}}
"""


def student_graph(student: StudentNetwork) -> Any:
    """Build the ONNX model of a bundle: `waveform`, `lengths` in; `logits`, `embedding`, and of some `dimensions` out.

    Raises:
        BundleError: a student whose front end has no graph
    """
    frontend = student.frontend
    if not isinstance(frontend, LogMel | WhisperFrames):
        raise BundleError(
            "a student that hears samples (distil, of any encoder but Whisper) cannot be exported; `sercli eval` "
            "measures its run folder, and another student can learn from it"
        )
    body = _body(student)
    for value in [*body.graph.input, *body.graph.output]:
        assert value.name in {"log_mel", "counts", "logits", "embedding", *student.further}, value.name
    body = onnx.compose.add_prefix(body, "body_", rename_inputs=False, rename_outputs=False)
    front = frontend_graph(frontend) if isinstance(frontend, LogMel) else _whisper_frames(frontend)
    model = onnx.compose.merge_models(front, body, io_map=[("log_mel", "log_mel"), ("counts", "counts")])
    return tidy(model)


def frontend_graph(frontend: LogMel) -> Any:
    """The front end alone as an ONNX model: `waveform`, `lengths` in; `log_mel`, `counts` out."""
    window, hop, mels = frontend.window_samples, frontend.hop_samples, frontend.mels
    points = mel_points(mels, frontend.low_hz, frontend.high_hz)
    text = FRONTEND.format(
        ir=IR_VERSION,
        opset=OPSET,
        mels=mels,
        mels_1=mels + 1,
        mels_2=mels + 2,
        points_count=len(points),
        points=", ".join(f"{point:.6f}" for point in points),
        half=window // 2,
        bins=window // 2 + 1,
        shift=1 - window,
        period=2 * window,
        radians=f"{math.pi / window:.17e}",
        window_radians=f"{2.0 * math.pi / (window - 1):.17e}",
        spacing=_float(frontend.sample_rate / window),
        pad=frontend.pieces * hop - window,
        hop=hop,
        parts=_parts(frontend),
        part_names=", ".join(f"part_{piece}" for piece in range(frontend.pieces)),
        right_start=window - 1,
        right_end=window // 2 - 1,
        floor=_float(POWER_FLOOR),
        window=window,
        silence=_float(math.log(POWER_FLOOR)),
        depth=_float(DYNAMIC_RANGE_NEPERS),
        active=_float(ACTIVE_RANGE_NEPERS),
        ridge=_float(VARIANCE_RIDGE),
        mean="Identity(mean_band)" if frontend.per_band else "ReduceMean<keepdims = 1>(mean_band, last_axis)",
    )
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    return model


def _parts(frontend: LogMel) -> str:
    """The hops that make up a frame, as slices of the hops that make up the clip; the last hop is cut to the window."""
    lines, last = [], frontend.pieces - 1
    for piece in range(frontend.pieces):
        end = piece - last if piece < last else 2**31 - 1
        width = frontend.hop_samples if piece < last else frontend.window_samples - last * frontend.hop_samples
        lines += [
            f"    part_{piece}_starts = Constant<value_ints = [{piece}, 0]>()",
            f"    part_{piece}_ends = Constant<value_ints = [{end}, {width}]>()",
            f"    part_{piece} = Slice(by_hop, part_{piece}_starts, part_{piece}_ends, axes_12)",
        ]
    return "\n".join(lines)


def mel_points(mels: int, low_hz: float, high_hz: float) -> list[float]:
    """Edges and centres of Slaney's mel triangles in Hz, mels + 2 of them."""
    knee_hz, knee_mel, steps = 1_000.0, 15.0, 27.0 / math.log(6.4)  # linear to 1 kHz, logarithmic above

    def to_mel(hertz: float) -> float:
        return 3.0 * hertz / 200.0 if hertz < knee_hz else knee_mel + steps * math.log(hertz / knee_hz)

    def to_hertz(mel: float) -> float:
        return 200.0 * mel / 3.0 if mel < knee_mel else knee_hz * math.exp((mel - knee_mel) / steps)

    return [to_hertz(float(mel)) for mel in np.linspace(to_mel(low_hz), to_mel(high_hz), mels + 2)]


def tidy(model: Any) -> Any:
    """Shorten inner names and drop the exporter's notes, which would be a third of a small student's file."""
    names = {value.name: value.name for value in [*model.graph.input, *model.graph.output]}

    def short(name: str) -> str:
        return name if not name else names.setdefault(name, f"t{len(names)}")

    for index, node in enumerate(model.graph.node):
        stem = "front" if not node.name.startswith("body_") else "body"
        node.name = f"{stem}{index}"
        node.doc_string = ""
        del node.metadata_props[:]
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for value in [*model.graph.input, *model.graph.output]:
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.name = short(tensor.name)
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    _share_equal(model)
    versions = {opset.domain: opset.version for opset in model.opset_import}  # merging names the same one twice
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in versions.items())
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    model.producer_name, model.producer_version = "sercli", ""
    onnx.checker.check_model(model)
    return model


def _share_equal(model: Any) -> None:
    """Keep one of equal constants: the zero points of int8 are alike in every layer of a width."""
    first: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for tensor in model.graph.initializer:
        anonymous = onnx.TensorProto()
        anonymous.CopyFrom(tensor)
        anonymous.name = ""
        same[tensor.name] = first.setdefault(anonymous.SerializeToString(), tensor.name)
    for node in model.graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]


class _Body(nn.Module):
    def __init__(self, student: StudentNetwork) -> None:
        super().__init__()
        self.student = student

    def forward(self, log_mel: Tensor, counts: Tensor) -> tuple[Tensor, ...]:
        outputs = self.student.body(log_mel, counts)
        return tuple(outputs[name] for name in _outputs(self.student))


def _outputs(student: StudentNetwork) -> list[str]:
    return ["logits", "embedding", *student.further]


def _body(student: StudentNetwork) -> Any:
    """Export everything after the front end with torch's exporter, batch and frames free."""
    batch, frames = torch.export.Dim("batch", min=1), torch.export.Dim("frames", min=SLACK_FRAMES)
    if isinstance(student.frontend, WhisperFrames):
        backbone = student.backbone
        assert isinstance(backbone, WhisperBackbone)
        frames = 2 * torch.export.Dim("frames", min=SLACK_FRAMES, max=backbone.most_frames)  # two to one of the encoder
    mels = student.frontend.mels
    assert isinstance(mels, int)
    example = (torch.randn(2, 300, mels), torch.tensor([300, 200]))
    shapes = {"log_mel": {0: batch, 1: frames}, "counts": {0: batch}}
    return _exported(with_recurrent_operators(_Body(student)), example, shapes, _outputs(student))


def _whisper_frames(frontend: WhisperFrames) -> Any:
    """Export Whisper's front end, batch and samples free."""
    batch = torch.export.Dim("batch", min=1)
    samples = torch.export.Dim("samples", min=SLACK_FRAMES * FRAME_SAMPLES)
    example = (torch.randn(2, 48_000), torch.tensor([48_000, 32_000]))
    shapes = {"waveform": {0: batch, 1: samples}, "lengths": {0: batch}}
    return _exported(frontend, example, shapes, ["log_mel", "counts"])


def _exported(network: nn.Module, example: tuple[Tensor, ...], shapes: dict[str, Any], outputs: list[str]) -> Any:
    """Export a network with torch's exporter.

    Args:
        network: what
        example: its input
        shapes: name of each input to its free dimensions
        outputs: their names
    """
    with _silence():
        program = torch.onnx.export(
            network.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(shapes),
            output_names=outputs,
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    return model


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's progress prints and notes about torchvision off the user's terminal."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _float(value: float) -> str:
    """A constant in the parser's syntax, exact to float32."""
    return f"{np.float32(value):.9e}"

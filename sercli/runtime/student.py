"""A student ready to label audio: its ONNX graph in onnxruntime, and what its bundle says about it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sercli.errors import AudioError, BundleError, UsageError
from sercli.hub.find import find
from sercli.runtime.bundle import ONNX_FILES, BundleConfig
from sercli.runtime.prediction import Decision, Prediction, silent
from sercli.runtime.windows import SILENCE_DBFS, is_silent, windows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Signal = NDArray[np.float32]

Precision: TypeAlias = Literal["float32", "int8"]
Map: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""The built-in `map`, or one like it that works ahead in threads and keeps the order."""

ID_DIGITS = 12  # of the sha256 of the graph
INPUTS = {"waveform": ("tensor(float)", 2), "lengths": ("tensor(int64)", 1)}
"""Name to type and rank."""


def load(
    name_or_path: str | os.PathLike[str], *, precision: Precision = "float32", threads: int = 1, offline: bool = False
) -> Student:
    """Load a student.

    Args:
        name_or_path: a student of the zoo such as "micro", a bundle folder, or "hf:owner/repo@revision"
        precision: "float32", or the smaller "int8"
        threads: onnxruntime's threads within one clip; a Student may also be shared by several threads
        offline: use what is cached of the Hub, or fail; what is cached at a full commit needs no network anyway

    Raises:
        ModelNotFoundError: no such student
        BundleError: its files are incomplete, altered or contradict each other
        HubError: it would have to come from the Hub, which cannot be reached or refuses
        UsageError: unknown precision, threads below 1
    """
    return read_bundle(name_or_path, precision=precision, offline=offline).open(threads)


@dataclass(frozen=True)
class Bundle:
    """What labelling needs of a student's folder, read and checked: enough to open the student on another machine."""

    config: BundleConfig
    graph: bytes
    """ONNX"""
    path: Path
    """of the graph, for messages"""

    def __hash__(self) -> int:
        return hash(self.graph)

    @property
    def id(self) -> str:
        """name@first 12 hex digits of the sha256 of the graph."""
        return f"{self.config.name}@{hashlib.sha256(self.graph).hexdigest()[:ID_DIGITS]}"

    def open(self, threads: int = 1) -> Student:
        """Make the student ready to label.

        Raises:
            BundleError: the graph cannot be used, or contradicts config.json
            UsageError: threads below 1
        """
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        session = _session(self.graph, self.path, threads)
        _check_graph(session, self.config, self.path)
        return Student(self.config, session, self.id)


def read_bundle(name_or_path: str | os.PathLike[str], *, precision: Precision, offline: bool) -> Bundle:
    """Read a student's files; arguments and errors as in `load`."""
    if precision not in ONNX_FILES:
        raise UsageError(f"unknown precision {precision!r}; choose one of {', '.join(ONNX_FILES)}")
    found = find(name_or_path, offline=offline)
    folder = found.folder
    config = BundleConfig.load(folder, found.check)
    path = folder / ONNX_FILES[precision]
    try:
        graph = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{folder}: {path.name} is missing; pull or export the student again") from None
    except OSError as problem:
        raise BundleError(f"{path}: cannot read ({problem.strerror}); check its rights") from None
    found.check(path.name, graph)
    return Bundle(config, graph, path)


class Student:
    """Labels audio; made by `load`. Safe to use from several threads at once.

    Each stretch goes through the network by itself: on a CPU that is faster than padded batches,
    needs far less memory, and no result depends on its neighbours.
    """

    def __init__(self, config: BundleConfig, session: Any, identity: str) -> None:
        self.config = config
        self.id = identity
        """name@first 12 hex digits of the sha256 of the graph"""
        self._session = session
        self._widths = {**config.heads, "embedding": config.embedding_size}
        self._outputs = [name for name in ("logits", "embedding", "dimensions") if name in self._widths]
        self._least_samples = round(config.min_seconds * config.sample_rate)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in the order of the scores."""
        return self.config.labels

    @property
    def sample_rate(self) -> int:
        """Sample rate of the network in Hz; audio of another rate is resampled."""
        return self.config.sample_rate

    def reading(self, text: str) -> Student:
        """Return the student that labels a recording whose transcript is known; itself, since it does not read."""
        return self

    def decision(self, labels: Sequence[str] | None = None, threshold: float | None = None) -> Decision:
        """Say how to decide: among which labels (None: all), abstaining below which score (None: calibrated).

        Raises:
            LabelError: a label the student does not have
            UsageError: a threshold outside 0 to 1
        """
        chosen = self.config.abstain_threshold if threshold is None else threshold
        return Decision(self.labels, chosen, None if labels is None else tuple(labels))

    def predict(
        self,
        audio: ArrayLike,
        sample_rate: int,
        *,
        labels: Sequence[str] | None = None,
        threshold: float | None = None,
    ) -> Prediction:
        """Label one recording as a whole.

        Args:
            audio: float, full scale 1, shape (samples,) or (channels, samples); channels are averaged
            sample_rate: of the audio in Hz
            labels: only these classes, scores renormalised
            threshold: label "uncertain" below this score instead of the calibrated threshold; 0 never

        Returns:
            a prediction from 0 to the end of the audio. Audio longer than `config.clip_seconds` is the mean
            of its parts, weighted by their length, silent parts left out.

        Raises:
            AudioError: empty, not float, NaN or infinite
            LabelError: a label the student does not have
        """
        decision = self.decision(labels, threshold)
        signal = as_signal(audio, sample_rate)
        return self.label_whole([signal], decision)

    def timeline(
        self,
        audio: ArrayLike,
        sample_rate: int,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
        *,
        labels: Sequence[str] | None = None,
        threshold: float | None = None,
    ) -> list[Prediction]:
        """Label overlapping windows of one recording.

        Args:
            audio: as in `predict`
            sample_rate: of the audio in Hz
            window_seconds: length of a window; None is the student's own
            hop_seconds: distance of the windows' starts; None is the student's own
            labels: as in `predict`
            threshold: as in `predict`

        Returns:
            one prediction per window; the last window is shorter if the audio ends inside it

        Raises:
            AudioError, LabelError: as in `predict`
            UsageError: a window or hop that is too short
        """
        decision = self.decision(labels, threshold)
        signal = as_signal(audio, sample_rate)
        return list(self.label_windows([signal], decision, window_seconds, hop_seconds))

    def label_whole(
        self, blocks: Iterable[Signal], decision: Decision, gate_dbfs: float = SILENCE_DBFS, each: Map = map
    ) -> Prediction:
        """Label a stream of consecutive mono 16 kHz blocks as one recording, at constant memory.

        Args:
            blocks: float32, shape (samples,) each
            decision: from `decision`
            gate_dbfs: what is quieter is silence, see `windows.SILENCE_DBFS`
            each: `map`, or one that runs parts of the recording side by side

        Raises:
            AudioError: no samples, or no finite scores
        """
        part_samples = round(self.config.clip_seconds * self.sample_rate)
        heard, total = 0, 0
        sums = [np.zeros(self._widths[name], np.float64) for name in self._outputs]
        for length, outputs in each(self._heard(gate_dbfs), windows(blocks, part_samples, part_samples)):
            total += length
            if outputs is not None:
                heard += length
                for mean, output in zip(sums, outputs, strict=True):
                    mean += length * output
        if total == 0:
            raise AudioError("no audio samples")
        end = total / self.sample_rate
        if heard == 0:
            return silent(0.0, end)
        return decision.prediction(0.0, end, *(mean / heard for mean in sums))

    def label_windows(
        self,
        blocks: Iterable[Signal],
        decision: Decision,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
        gate_dbfs: float = SILENCE_DBFS,
        each: Map = map,
    ) -> Iterator[Prediction]:
        """Label the windows of a stream of consecutive mono 16 kHz blocks as they come, at constant memory.

        Args:
            blocks: float32, shape (samples,) each
            decision: from `decision`
            window_seconds: None is the student's own
            hop_seconds: None is the student's own
            gate_dbfs: a window quieter than this is silence
            each: `map`, or one that runs windows side by side

        Raises:
            AudioError: no finite scores
            UsageError: a window shorter than the student's shortest clip, a hop below one sample
        """
        window = round((self.config.window_seconds if window_seconds is None else window_seconds) * self.sample_rate)
        hop = round((self.config.hop_seconds if hop_seconds is None else hop_seconds) * self.sample_rate)
        if window < self._least_samples:
            raise UsageError(f"window must be at least {self.config.min_seconds} s for {self.config.name}")
        if hop < 1:
            raise UsageError("hop must be longer than 0 s")
        hear = self._heard(gate_dbfs)

        def label(item: tuple[int, Signal]) -> Prediction:
            length, outputs = hear(item)
            start, end = item[0] / self.sample_rate, (item[0] + length) / self.sample_rate
            return silent(start, end) if outputs is None else decision.prediction(start, end, *outputs)

        return each(label, windows(blocks, window, hop))

    def outputs(self, signal: Signal) -> list[NDArray[np.floating]]:
        """Run the network once.

        Args:
            signal: mono float32 at 16 kHz, shape (samples,)

        Returns:
            calibrated probabilities, shape (classes,); the embedding, shape (embedding_size,); where the student has
            that head, arousal, valence and dominance, shape (3,)

        Raises:
            AudioError: the graph fails on it, or its scores are not finite
        """
        assert signal.dtype == np.float32
        assert signal.ndim == 1
        length = len(signal)
        if length < self._least_samples:
            signal = np.pad(signal, (0, self._least_samples - length))
        feed = {"waveform": signal[None], "lengths": np.array([length], np.int64)}
        try:
            logits, *others = (output[0] for output in self._session.run(self._outputs, feed))
        except Exception as problem:  # onnxruntime's exceptions have no common base
            raise AudioError(f"the student's graph fails on it ({_reason(problem)}); pull or export it again") from None
        scaled = logits.astype(np.float64) / self.config.temperature
        if not np.isfinite(scaled).all():
            raise AudioError("the student gives no finite scores for it; check its level")
        powers = np.exp(scaled - scaled.max())
        return [powers / powers.sum(), *others]

    def _heard(self, gate_dbfs: float) -> Callable[[tuple[int, Signal]], tuple[int, Any]]:
        """Return a function from (start, signal) to length and output, None for silence."""

        def hear(item: tuple[int, Signal]) -> tuple[int, Any]:
            _, signal = item
            return len(signal), None if is_silent(signal, gate_dbfs) else self.outputs(signal)

        return hear


def as_signal(audio: ArrayLike, sample_rate: int) -> Signal:
    """Turn any float array into mono float32 at 16 kHz, shape (samples,).

    Args:
        audio: shape (samples,) or (channels, samples), full scale 1
        sample_rate: in Hz

    Raises:
        AudioError: empty, not float, of another shape, NaN or infinite
    """
    from sercli.audio import HIGHEST_RATE, LOWEST_RATE, Recording

    array = np.asarray(audio)
    if array.dtype.kind != "f":
        raise AudioError(f"audio must be float with full scale 1, not {array.dtype}; divide integers by their range")
    if array.ndim not in (1, 2):
        raise AudioError(f"audio must have shape (samples,) or (channels, samples), not {array.shape}")
    if array.size == 0:
        raise AudioError("audio is empty; give at least one sample")
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise AudioError(f"sample rate must be {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {sample_rate}")
    channels = np.atleast_2d(array)
    if channels.shape[0] > channels.shape[1]:
        raise AudioError(f"audio of shape {array.shape} has more channels than samples; transpose it")
    frames = channels.T.astype(np.float32)
    return np.concatenate(list(Recording("audio", None, int(sample_rate), [frames]).blocks()))


def _session(graph: bytes, path: Path, threads: int) -> Any:
    """Open a graph with the settings that start fastest and hold least memory for clips of all lengths."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal only: whatever matters is raised and told in our own words
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the core alone
    # The arena saves a third of the system's time on page faults (measured: 86 MB at the peak, 97 without it).
    # Memory patterns are kept for every clip length there is, without being faster.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's exceptions have no common base
        raise BundleError(
            f"{path}: not a usable ONNX graph ({_reason(problem)}); pull or export the student again"
        ) from None


def _reason(problem: Exception) -> str:
    """First line of what onnxruntime says."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)


def _check_graph(session: Any, config: BundleConfig, path: Path) -> None:
    """Refuse a graph that does not have the inputs, outputs and widths of the contract and of config.json."""
    again = "pull or export the student again"
    try:
        inputs = {node.name: (node.type, len(node.shape)) for node in session.get_inputs()}
        outputs = {node.name: node.shape for node in session.get_outputs()}
    except UnicodeDecodeError:
        raise BundleError(f"{path}: names that are no text; {again}") from None
    if inputs != INPUTS:
        raise BundleError(f"{path}: inputs are {inputs}, expected {INPUTS}; {again}")
    for name, width in {**config.heads, "embedding": config.embedding_size}.items():
        if name not in outputs:
            raise BundleError(f"{path}: no output {name!r} (it has {', '.join(outputs)}); {again}")
        found = outputs[name][-1] if len(outputs[name]) == 2 else outputs[name]
        if found != width and not isinstance(found, str):
            count = f"the {width} labels of config.json" if name == "logits" else f"{width} in config.json"
            raise BundleError(f"{path}: output {name!r} has width {found}, against {count}; {again}")

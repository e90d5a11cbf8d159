from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.corpora.speech import with_copies
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError

pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.training import store as module
from sercli.training.store import open_store
from sercli.training.teacher_fill import audio_digests

RATE = 16_000


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "ramp.wav"
    soundfile.write(path, (np.arange(RATE) / RATE * 0.5).astype(np.float32), RATE, subtype="PCM_16")
    return path


def test_audio_is_kept_sample_by_sample(clip: Path, tmp_path: Path) -> None:
    found = open_store([Utterance(str(clip)), Utterance(str(clip), start=0.25, end=0.5)], tmp_path)
    assert len(found) == 2
    assert found.lengths.tolist() == [16_000, 4_000]
    assert np.abs(found[0] / 32_767 - np.arange(RATE) / RATE * 0.5).max() < 1e-4
    assert np.array_equal(found[1], found[0][4_000:8_000])


def test_decoded_once_and_anew_when_a_file_changes(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store([Utterance(str(clip))], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_utterance", lambda _: pytest.fail("decoded twice"))
        assert np.array_equal(open_store([Utterance(str(clip))], tmp_path)[0], first[0])
    soundfile.write(clip, np.zeros(800, np.float32), RATE)
    assert not open_store([Utterance(str(clip))], tmp_path)[0].any()


@pytest.mark.parametrize(
    ("content", "start", "message"),
    [(None, 0.0, "No such file"), (b"text", 0.0, "sercli corpus check"), ("ok", 5.0, "no audio from 5 s on")],
)
def test_what_cannot_be_read_is_named(
    clip: Path, tmp_path: Path, content: bytes | str | None, start: float, message: str
) -> None:
    if content is None:
        clip.unlink()
    elif isinstance(content, bytes):
        clip.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        open_store([Utterance(str(clip), start=start)], tmp_path)
    assert str(caught.value).startswith(str(clip))
    assert message in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))


def test_a_cache_that_cannot_be_written(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="set SERCLI_CACHE"):
        open_store([Utterance(str(clip))], tmp_path / "file")


def test_a_copy_at_another_speed_is_another_sound(tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 16_000)
    own = Utterance(str(path))
    copies = with_copies([own], [1.25])
    store = open_store(copies, tmp_path / "cache")
    assert store.lengths.tolist() == [8_000, 6_400]
    assert open_store([own], tmp_path / "cache").lengths.tolist() == [8_000]
    digests = audio_digests(copies)
    assert digests[0] == audio_digests([own])[0] != digests[1]

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from release_trees import touch

from sercli.corpora import read_corpus
from sercli.corpora.check import Report, check, listen_to
from sercli.corpora.table import Utterance
from sercli.errors import UsageError

RATE = 16_000


def sound(path: Path, seed: int, seconds: float = 0.05, gain: float = 0.1, subtype: str = "PCM_16") -> Utterance:
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = gain * np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE)).astype(np.float32)
    soundfile.write(path, signal, RATE, subtype=subtype)
    return Utterance(str(path), corpus="mine", speaker=str(seed), emotion="happy")


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.severity, finding.kind) for finding in report.findings]


def test_clean(tmp_path: Path) -> None:
    utterances = [sound(tmp_path / f"{seed}.wav", seed) for seed in range(3)]
    steps: list[int] = []
    report = check("mine.csv", utterances, advance=lambda: steps.append(1))
    assert report == Report("mine.csv", 3, 3, 0.15, {"happy": 3}, [])
    assert report.errors == 0
    assert len(steps) == 3


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    good = sound(tmp_path / "good.wav", 1)
    text = tmp_path / "text.wav"
    text.write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan, 0.2], np.float32), RATE, subtype="FLOAT")
    bad = [replace(good, path=str(tmp_path / name)) for name in ("text.wav", "empty.wav", "nan.wav")]
    report = check("mine.csv", [good, *bad, replace(good, path="/nowhere/a.wav"), replace(good, start=0.02, end=0.2)])
    assert {(finding.kind, finding.message, finding.paths[0]) for finding in report.findings} == {
        ("unreadable", "cannot be used: no samples", bad[1].path),
        ("unreadable", "cannot be used: NaN or infinite samples", bad[2].path),
        ("unreadable", "cannot be used: the file ends before 0.200 s", good.path),
        ("missing", "1 listed, but not there", "/nowhere/a.wav"),
        *((f.kind, f.message, f.paths[0]) for f in report.findings if f.paths == [bad[0].path]),
    }
    assert report.errors == len(report.findings) == 5
    assert listen_to(replace(good, path=str(tmp_path))).missing


def test_segments_are_measured_by_themselves(tmp_path: Path) -> None:
    whole = sound(tmp_path / "long.wav", 1, seconds=1.0)
    first = listen_to(replace(whole, end=0.25))
    second = listen_to(replace(whole, start=0.25))
    assert (first.seconds, second.seconds) == (0.25, 0.75)
    assert first.digest != second.digest


def test_silent_and_clipped(tmp_path: Path) -> None:
    silent = [sound(tmp_path / f"silent{n}.wav", n, gain=0.0) for n in range(2)]
    clipped = sound(tmp_path / "clipped.wav", 7, gain=50.0)
    touching = sound(tmp_path / "touching.wav", 8, gain=1.0, subtype="FLOAT")
    report = check("mine.csv", [*silent, clipped, touching])
    assert [(f.severity, f.kind, f.paths) for f in report.findings] == [
        ("warning", "silent", [u.path for u in silent]),
        ("warning", "clipped", [clipped.path]),
    ]


def test_duplicates_by_content_not_by_format(tmp_path: Path) -> None:
    one = sound(tmp_path / "a.wav", 1)
    signal, rate = soundfile.read(one.path)
    soundfile.write(tmp_path / "b.flac", signal, rate)
    two = replace(one, path=str(tmp_path / "b.flac"), speaker="other", emotion="sad")
    report = check("mine.csv", [one, two])
    assert [(f.severity, f.kind, f.message, f.paths) for f in report.findings] == [
        ("warning", "duplicate", "2 with the same sound but different emotion and speaker", [one.path, two.path])
    ]


@pytest.fixture
def tiny_ravdess(tmp_path: Path) -> Path:
    for actor in range(1, 25):
        sound(tmp_path / f"Actor_{actor:02d}/03-01-03-01-01-01-{actor:02d}.wav", actor)
    return tmp_path


def test_duplicate_across_the_sides_of_a_split_is_an_error(tiny_ravdess: Path) -> None:
    source = tiny_ravdess / "Actor_01/03-01-03-01-01-01-01.wav"
    copy = tiny_ravdess / "Actor_06/03-01-03-01-01-01-06.wav"
    copy.write_bytes(source.read_bytes())
    report = check("ravdess", read_corpus("ravdess", tiny_ravdess), tiny_ravdess, "ravdess-emobox6")
    assert [(f.kind, f.message) for f in report.findings if f.severity == "error"] == [
        ("leak", "the same sound on the test and the train side of fold 1"),
        ("leak", "the same sound on the dev and the train side of fold 2"),
        ("leak", "the same sound on the test and the train side of fold 6"),
    ]
    assert ("warning", "incomplete") in found(report)


def test_speakers_a_protocol_misses(tiny_ravdess: Path) -> None:
    utterances = [u for u in read_corpus("ravdess", tiny_ravdess) if u.speaker != "20"]
    report = check("ravdess", utterances, None, "ravdess-5fold")
    problems = [f.message for f in report.findings if f.severity == "error"]
    assert len(problems) == 1
    assert problems[0].startswith("fold 3 names speakers without utterances: 20")


def test_release_and_unknown_protocols(tiny_ravdess: Path) -> None:
    utterances = read_corpus("ravdess", tiny_ravdess)
    assert check("ravdess", utterances, None, "release").errors == 0
    with pytest.raises(UsageError, match=r'unknown protocol "releas" \(did you mean "release"\?\)'):
        check("ravdess", utterances, None, "releas")
    with pytest.raises(UsageError, match="protocol emodb-loso is of corpus emodb, and there is nothing of it here"):
        check("ravdess", utterances, None, "emodb-loso")


def test_unlisted_audio(tiny_ravdess: Path) -> None:
    touch(tiny_ravdess, ["Actor_01/03-02-03-01-01-01-01.wav"])
    report = check("ravdess", read_corpus("ravdess", tiny_ravdess), tiny_ravdess)
    assert ("warning", "unlisted") in found(report)


def test_labels(tmp_path: Path) -> None:
    many = [sound(tmp_path / f"{seed}.wav", seed) for seed in range(6)]
    rare = replace(sound(tmp_path / "rare.wav", 10), emotion="awe")
    unlabelled = replace(sound(tmp_path / "no.wav", 11), emotion="", speaker="")
    report = check("mine.csv", [*many, rare, unlabelled])
    assert report.labels == {"awe": 1, "happy": 6}
    assert sorted((f.kind, f.message) for f in report.findings) == [
        ("imbalance", "happy (6) is more than 5 times awe (1)"),
        ("no speaker", "1 without a speaker: they cannot be split"),
        ("unknown label", "emotions no label set knows: awe"),
        ("unlabelled", "1 without an emotion"),
    ]


def test_real_ravdess_has_its_one_duplicate_pair(data_root: Path) -> None:
    root = data_root / "ravdess"
    report = check("ravdess", read_corpus("ravdess", root), root, "ravdess-emobox6")
    assert [(f.kind, [Path(path).stem for path in f.paths]) for f in report.findings] == [
        ("duplicate", ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"])
    ]
    assert report.seconds / 3600 == pytest.approx(1.48, abs=0.01)


def test_real_emodb_is_clean(data_root: Path) -> None:
    root = data_root / "emodb"
    assert found(check("emodb", read_corpus("emodb", root), root, "emodb-loso")) == []

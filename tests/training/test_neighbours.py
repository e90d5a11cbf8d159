"""The graph of nsl: exact, symmetric, cut at its threshold, the heaviest kept, and readable again."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason='needs the extra "eval"')

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.training import neighbours
from sercli.training.neighbours import FILE, NeighbourGraph, build_graph, load_graph, statistics


def clips(emotions: str) -> list[Utterance]:
    """One clip for each letter, named a, b, c ..."""
    return [
        Utterance(f"{chr(97 + number)}.wav", corpus="made", speaker="s1" if number < 2 else "s2", emotion=emotion)
        for number, emotion in enumerate(emotions)
    ]


def at(*degrees: float) -> np.ndarray:
    """Embeddings of some length in these directions: their cosines are those of the angles between."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, len(degrees) + 1)[:, None]


def graph(*degrees: float, k: int = 3, threshold: float = 0.9) -> NeighbourGraph:
    return build_graph(at(*degrees), clips("hhsss"[: len(degrees)]), k, threshold)


def test_neighbours_and_weights_by_hand() -> None:
    found = graph(0, 10, 30, 90)  # cos 10 = 0.985, cos 20 = 0.940, cos 30 = 0.866
    assert found.neighbours.tolist() == [[1, -1, -1], [0, 2, -1], [1, -1, -1], [-1, -1, -1]]
    expected = [[0.984808, 0, 0], [0.984808, 0.939693, 0], [0.939693, 0, 0], [0, 0, 0]]
    assert found.weights == pytest.approx(np.array(expected), abs=1e-6)
    assert found.degrees.tolist() == [1, 2, 1, 0]


def test_every_pair_is_compared_and_weighs_the_same_from_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    monkeypatch.setattr(neighbours, "CHUNK_MIB", 0.01)  # many pieces
    found = build_graph(vectors, clips("h" * 200), 199, 0.5)
    matrix = np.zeros((200, 200))
    rows, places = np.nonzero(found.neighbours >= 0)
    matrix[rows, found.neighbours[rows, places]] = found.weights[rows, places]
    assert (matrix == matrix.T).all()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0)
    assert matrix == pytest.approx(np.where(cosines >= 0.5, cosines, 0), abs=2e-6)
    assert found.degrees.tolist() == (cosines >= 0.5).sum(axis=1).tolist()
    pairs, _ = found.edges
    assert 2 * len(pairs) == found.degrees.sum()


def test_threshold_is_a_least_value() -> None:
    assert graph(0, 60, threshold=0.5).degrees.tolist() == [1, 1]
    assert graph(0, 60, threshold=0.500001).degrees.tolist() == [0, 0]


def test_the_heaviest_are_kept_and_of_equal_ones_the_larger_id() -> None:
    found = graph(0, 5, 10, -5, 5, k=2)
    assert found.neighbours[0].tolist() == [4, 3]  # clips 1, 3 and 4 are 5 degrees away
    assert found.degrees[0] == 4
    assert found.neighbours[1].tolist()[0] == 4  # the same direction


def test_fewer_clips_than_neighbours_and_silence() -> None:
    found = build_graph(np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.1]]), clips("hhs"), 5, 0.9)
    assert found.neighbours.tolist() == [[2, -1, -1, -1, -1], [-1] * 5, [0, -1, -1, -1, -1]]


def test_standardised_dimensions_count_alike() -> None:
    loud = np.array([[1000.0, 1.0], [1000.0, -1.0], [1001.0, 1.0], [1001.0, -1.0]])
    assert build_graph(loud, clips("hhss"), 3, 0.9).degrees.tolist() == [3, 3, 3, 3]
    assert build_graph(loud, clips("hhss"), 3, 0.9, standardise=True).degrees.tolist() == [0, 0, 0, 0]


def test_statistics() -> None:
    found = statistics(graph(0, 10, 30, 90))
    assert (found["clips"], found["pairs"], found["edges"], found["isolated"]) == (4, 2, 2, 1)
    assert found["degree"] == {"mean": 1.0, "median": 1.0, "largest": 2.0}
    assert found["cosine"] == pytest.approx({"least": 0.939693, "median": 0.96225, "largest": 0.984808}, abs=2e-6)
    assert found["purity"] == 0.5  # clips 0 and 1 are happy, 2 and 3 sad
    assert found["purity_by_chance"] == pytest.approx(1 / 3)
    assert found["same_speaker"] == 0.5
    nothing = statistics(graph(0, 90))
    assert (nothing["edges"], nothing["isolated"], nothing["purity"], nothing["cosine"]) == (0, 2, None, None)


def test_emotions_do_not_make_the_graph() -> None:
    one, other = (build_graph(at(0, 10, 20, 90), clips(emotions), 2, 0.9) for emotions in ("hhss", "shsh"))
    assert (one.neighbours == other.neighbours).all()
    assert (one.weights == other.weights).all()
    assert one.emotions != other.emotions


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = graph(0, 10, 30, 90)
    found.save(tmp_path / FILE)
    for place in (tmp_path, tmp_path / FILE):
        again = load_graph(place)
        assert (again.ids, again.emotions, again.threshold) == (found.ids, found.emotions, 0.9)
        assert statistics(again) == statistics(found)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    with np.load(tmp_path / FILE) as arrays:  # without sercli too
        assert arrays["id"].tolist() == ["made/a.wav", "made/b.wav", "made/c.wav", "made/d.wav"]


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"graph\.npz: no graph; name the folder of a run of the method nsl"):
        load_graph(tmp_path)
    (tmp_path / "other.npz").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(CorpusError, match=r"other\.npz: not a graph"):
        load_graph(tmp_path / "other.npz")

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason='needs the extra "train"')

from example_metrics import EIGHT, TWELVE, example
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from sercli.evaluation.canvas import DPI, STYLE, spread
from sercli.evaluation.embedding_map import MOST_CLIPS, embedding_map, flatten
from sercli.evaluation.plots import PICTURES, draw

CASES = {
    "four": {"labels": ("neutral", "happy", "sad", "angry"), "seen": "seen"},
    "twelve": {"labels": TWELVE, "speakers": 60, "seen": "partly seen"},
    "no intervals": {"speakers": 4},
}


def outlines(figure: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Outline]]:
    """Draw a figure and return the outline of every text on it in pixels; slanted ones as slanted boxes."""
    drawn: list[Text] = []
    draw_text = Text.draw

    def draw(text: Text, renderer: Any) -> None:
        drawn.append(text)
        draw_text(text, renderer)

    monkeypatch.setattr(Text, "draw", draw)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    for text in drawn:
        if not text.get_text().strip() or not text.get_visible():
            continue
        turn = Affine2D()
        if text.get_rotation_mode() == "anchor":
            turn.rotate_deg_around(*text.get_transform().transform(text.get_position()), text.get_rotation())
            text.set_rotation(0)
        box = Text.get_window_extent(text, canvas.get_renderer())  # an annotation's own one takes in its arrow
        found.append((text.get_text(), turn.transform_path(Outline(box.padded(-0.5).corners()[[0, 1, 3, 2, 0]]))))
    return found


def overlapping(texts: list[tuple[str, Outline]]) -> list[tuple[str, str]]:
    """Texts that touch; boxes around them are compared first, for there are hundreds."""
    boxes = [outline.get_extents() for _, outline in texts]
    return [
        (texts[one][0], texts[other][0])
        for one, other in itertools.combinations(range(len(texts)), 2)
        if boxes[one].overlaps(boxes[other]) and texts[one][1].intersects_path(texts[other][1], filled=True)
    ]


def clusters(clips: int, labels: tuple[str, ...] = EIGHT) -> tuple[np.ndarray, list[str]]:
    random = np.random.default_rng(3)
    of = np.arange(clips) % len(labels)
    centres = 6 * random.standard_normal((len(labels), 16))
    return centres[of] + random.standard_normal((clips, 16)), [labels[index] for index in of]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("case", CASES)
def test_no_text_hides_another_or_is_cut(case: str, picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with style.context(["default", STYLE]):
        figure = PICTURES[picture](example(**CASES[case]))
        texts = outlines(figure, monkeypatch)
    assert overlapping(texts) == []
    for text, outline in texts:
        assert figure.bbox.padded(-2).count_contains(outline.vertices) == len(outline.vertices), f"{text!r} is cut"


def test_no_text_of_the_map_hides_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with style.context(["default", STYLE]):
        figure = embedding_map(example(TWELVE), *clusters(48, TWELVE))
        texts = outlines(figure, monkeypatch)
    assert {f"{label} (4)" for label in TWELVE} <= {text for text, _ in texts}
    assert overlapping(texts) == []


@pytest.mark.parametrize("case", CASES)
def test_every_picture_says_whose_it_is_and_warns_where_speakers_were_seen(case: str) -> None:
    metrics = example(**CASES[case])
    for picture in PICTURES.values():
        texts = [text.get_text() for text in picture(metrics).findobj(Text)]
        assert any("micro on ravdess (ravdess-emobox6)" in text.replace("\n", " ") for text in texts)
        assert any("SEEN IN TRAINING" in text for text in texts) == (metrics["seen"]["status"] != "unseen")


def test_writes_all_pictures_and_nothing_else(tmp_path: Path) -> None:
    names = draw(example(), tmp_path / "report", *clusters(40))
    assert names == [*PICTURES, "embedding.png"]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "report").iterdir())
    for name in names:
        height, width, _ = imread(tmp_path / "report" / name).shape
        assert 600 <= width <= 2_000, name
        assert 400 <= height <= 1_600, name


def test_draws_the_same_every_time(tmp_path: Path) -> None:
    metrics = {key: example()[key] for key in ("model", "data", "seen", "calibration")}
    digests = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        names = draw(metrics, folder, *clusters(60), seed=1)
        digests.append([hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names])
    assert names == ["reliability.png", "embedding.png"]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("empty", [{}, {"figures": {}, "groups": {"columns": {}}}, dict.fromkeys(example())])
def test_what_was_not_measured_is_not_drawn(tmp_path: Path, empty: dict[str, Any]) -> None:
    described = {key: example()[key] for key in ("model", "data", "seen")}
    assert draw({**described, **{key: value for key, value in empty.items() if key not in described}}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_confusion_shows_recall_on_its_diagonal_though_some_clips_have_no_answer() -> None:
    metrics = example(("happy", "sad"))
    metrics["figures"] |= {
        "confusion": [[6, 2], [0, 10]],
        "unanswered": 2,
        "recall": {"happy": {"value": 60.0, "clips": 10}, "sad": {"value": 100.0, "clips": 10}},
    }
    texts = [text.get_text() for text in PICTURES["confusion.png"](metrics).findobj(Text)]
    assert {"60", "20", "100"} <= set(texts)
    assert any("2 clips without an answer" in text for text in texts)


def test_speakers_of_a_large_corpus_are_ranked_without_names() -> None:
    metrics = example(speakers=70)
    texts = [text.get_text() for text in PICTURES["groups.png"](metrics).findobj(Text)]
    assert "70 speakers, best first" in texts
    assert "ravdess/01" not in texts


def test_gain_is_no_noise() -> None:
    metrics = example()
    cells = metrics["robustness"]["cells"]
    metrics["robustness"]["cells"] = [cell for cell in cells if cell["kind"] == "gain"]
    figure = PICTURES["robustness.png"](metrics)
    assert [axes.get_xlabel() for axes in figure.findobj(lambda part: hasattr(part, "get_xlabel"))] == ["UA, %"]


def test_labels_keep_their_gap_and_stay_where_there_is_room() -> None:
    assert spread([10.0, 20.0, 30.0], 4.0) == pytest.approx([10, 20, 30])
    places = spread([10.0, 10.0, 11.0, 30.0], 4.0)
    assert np.diff(places).min() >= 4 - 1e-9
    assert places[-1] == pytest.approx(30)


def test_map_keeps_clusters_together() -> None:
    embeddings, emotions = clusters(80, ("happy", "sad"))
    points, way = flatten(embeddings)
    assert (way, points.shape) == ("t-SNE", (80, 2))
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(80)
    assert all(emotions[int(near)] == emotion for near, emotion in zip(distances.argmin(axis=1), emotions, strict=True))


def test_few_clips_or_equal_ones_are_mapped_by_their_two_main_directions() -> None:
    embeddings, _ = clusters(20)
    points, way = flatten(embeddings)
    spread_of = np.linalg.svd(embeddings - embeddings.mean(axis=0), compute_uv=False)[:2] ** 2
    assert way == "PCA"
    assert (points**2).sum(axis=0) == pytest.approx(spread_of)
    points, way = flatten(np.ones((60, 4)))
    assert way == "PCA"
    assert not points.any()


def test_map_leaves_out_what_it_cannot_place() -> None:
    embeddings, emotions = clusters(30)
    embeddings[0], emotions[1] = np.nan, ""
    figure = embedding_map(example(), embeddings, emotions)
    assert any("PCA of 28 clips" in text.get_text() for text in figure.findobj(Text))
    assert embedding_map(example(), embeddings[:3], emotions[:3]) is None


def test_map_draws_some_of_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sercli.evaluation.embedding_map.flatten", lambda vectors, seed: (vectors[:, :2], "t-SNE"))
    figure = embedding_map(example(), *clusters(MOST_CLIPS + 500))
    assert sum(len(dots.get_offsets()) for dots in figure.axes[0].collections) == MOST_CLIPS
    assert any("2,000 clips of 2,500, drawn at random" in text.get_text() for text in figure.findobj(Text))

"""Which layers of a speech encoder carry arousal, valence, dominance and the emotion class.

Two views of the same frozen states, averaged over time and standardised with the figures of the training speakers:

    weights   one softmax over all layers per target, trained with a linear layer on the mix; their centre of gravity
    probes    a linear model on every layer alone: CCC of a ridge regression, UA of a logistic regression

After de Oliveira et al. 2023 (arXiv 2305.19184), who find arousal in shallow layers of HuBERT and valence in deep ones.
Folds are speaker-disjoint; figures are of the test sides of all folds together, each speaker tested once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.derived import SOURCE
from sercli.corpora.splits import Protocol, split
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.evaluation.answers import UNLABELLED, voice
from sercli.evaluation.bootstrap import Resample
from sercli.evaluation.dimensional import dimensional
from sercli.evaluation.measure import LEVEL, Settings, today, versions
from sercli.evaluation.metrics import classification
from sercli.evaluation.task import ratings, table_sha256
from sercli.runtime.prediction import DIMENSIONS

if TYPE_CHECKING:
    from sercli.models.encoder import Encoder

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

EMOTION = "emotion"
GROUPS = 5  # of speakers, where no protocol says which
RIDGE = 1_000.0  # L2 penalty of the regression, on standardised states and ratings from 0 to 1
STRENGTH = 0.01  # C of the logistic regression
EARLY = 0.95  # of the best layer's figure: the first layer that reaches it says how much depth a target needs
STEPS = 300  # of Adam, full batch
RATE = 1e-2  # peak learning rate of the linear layer and of the scores under the softmax
PENALTY = 0.05  # L2 of the linear layer on unit states and ratings: as strong as C = 0.01 over a thousand clips
LEAST_SPREAD = 1e-4  # deviation of a state; one that never changes says nothing and must not be blown up


@dataclass(frozen=True)
class Question:
    """Clips, what is known of them, and who is tested when."""

    utterances: list[Utterance]
    """emotions are labels, or empty"""
    labels: tuple[str, ...]
    folds: list[Mask]
    """test clips of each fold, shape (clips,)"""
    protocol: str = ""
    derived: bool = False
    """arousal, valence and dominance are points of the emotion words"""

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Class numbers, UNLABELLED where there is none, shape (clips,)."""
        return np.array([self.labels.index(u.emotion) if u.emotion else UNLABELLED for u in self.utterances])


def question(
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    published: Protocol | None,
    derived: bool,
    seed: int = 0,
) -> Question:
    """Part clips into folds: those of a protocol, or groups of speakers at random.

    Raises:
        CorpusError, LeakError: as `splits.split`; fewer speakers than groups, or a speaker that nobody names
    """
    from sercli.training.teacher import speaker_groups

    own = [u for u in utterances if published is None or u.corpus == published.corpus]
    if published:
        tests = [{u.stretch for u in split(own, fold, published.by).test} for fold in published.folds]
        folds = [np.array([u.stretch in test for u in own]) for test in tests]
        return Question(own, tuple(labels), folds, published.name, derived)
    if nameless := [u.path for u in own if not u.speaker]:
        raise CorpusError(f"{nameless[0]}: nobody says who speaks, so no layer can be tested on others; name speakers")
    groups = speaker_groups(own, np.ones(len(own), bool), GROUPS, seed)
    return Question(own, tuple(labels), [groups == group for group in range(GROUPS)], "", derived)


def relevance(encoder: Encoder, asked: Question, settings: Settings, quiet: bool = False) -> dict[str, Any]:
    """Let an encoder hear the clips, or take from the cache what it heard, and say what its layers carry.

    Args:
        encoder: loaded
        asked: what is asked
        settings: of the bootstrap, and the scale of the ratings
        quiet: no progress bar

    Returns:
        content of layers.json: `targets`, name to `figure` (ccc or ua), `weights` (mean and deviation over folds of
        each layer), `centre` of gravity in layers (likewise), `probes` (value, low, high of each layer), `best_layer`,
        and `early_layer`, the first whose probe reaches 95 % of the best one's figure

    Raises:
        CorpusError: neither ratings nor two classes, or a file cannot be read
        OutputError: the cache cannot be written
    """
    from sercli.training.recipe_teacher import EncoderPart
    from sercli.training.teacher import hear_with

    numbers = tuple(range(encoder.layers + 1))
    part = EncoderPart(encoder.name, encoder.revision, numbers)
    states = hear_with(encoder, part, "mean", asked.utterances, quiet=quiet).pooled
    rated, classes = ratings(asked.utterances, settings.scale), asked.classes
    names = [name for name, column in zip(DIMENSIONS, rated.T, strict=True) if np.isfinite(column).any()]
    if len(set(classes.tolist()) - {UNLABELLED}) >= 2:
        names.append(EMOTION)
    if not names:
        raise CorpusError(
            "neither ratings nor two emotions to look for; choose a corpus that has them, or add --derived"
        )
    figures = _probed(states, rated, classes, asked, settings)
    shares = np.array(
        [_weights(_standardised(states, ~test)[~test], rated[~test], classes[~test], names) for test in asked.folds]
    )
    return {
        "date": today(),
        "versions": versions(),
        "encoder": {
            "name": encoder.name,
            "revision": encoder.revision,
            "sha256": encoder.sha256,
            "family": encoder.family,
            "layers": encoder.layers,
            "width": encoder.width,
            "parameters": encoder.parameter_count,
        },
        "data": {
            "protocol": asked.protocol,
            "corpora": sorted({u.corpus for u in asked.utterances}),
            "labels": list(asked.labels),
            "utterances": len(asked.utterances),
            "speakers": len({voice(u) for u in asked.utterances}),
            "folds": len(asked.folds),
            "table_sha256": table_sha256(asked.utterances),
        },
        **({"derived_dimensions": SOURCE} if asked.derived else {}),
        "bootstrap": settings.bootstrap(),
        "targets": {name: _described(shares[:, place], figures[name]) for place, name in enumerate(names)},
    }


def _described(shares: npt.NDArray[np.float64], probes: list[dict[str, Any]]) -> dict[str, Any]:
    """One target: shares of the layers in each fold, (folds, layers), and figures of the layers alone."""
    centres = shares @ np.arange(shares.shape[1])
    figure = next(key for key in ("ccc", "ua") if key in probes[0])
    values = [probe[figure] for probe in probes]
    figures = [value["value"] for value in values]
    return {
        "figure": figure,
        "centre": {"mean": round(float(centres.mean()), 3), "std": round(float(centres.std()), 3)},
        "weights": [
            {"layer": layer, "mean": round(float(column.mean()), 5), "std": round(float(column.std()), 5)}
            for layer, column in enumerate(shares.T)
        ],
        "probes": [{"layer": layer, **value} for layer, value in enumerate(values)],
        "best_layer": int(np.argmax(figures)),
        "early_layer": next(layer for layer, value in enumerate(figures) if value >= EARLY * max(figures)),
    }


def _probed(
    states: npt.NDArray[np.float16],
    rated: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int64],
    asked: Question,
    settings: Settings,
) -> dict[str, list[dict[str, Any]]]:
    """Figures of every layer alone: target to one entry a layer."""
    resample = Resample([voice(u) for u in asked.utterances], settings.draws, LEVEL, settings.seed)
    labelled = classes != UNLABELLED
    found: dict[str, list[dict[str, Any]]] = {}
    for layer in range(states.shape[1]):
        said, chosen = np.full(rated.shape, np.nan), np.full(len(classes), UNLABELLED)
        for test in asked.folds:
            features = _standardised(states[:, layer : layer + 1], ~test)[:, 0]
            for column in range(rated.shape[1]):
                known = ~test & np.isfinite(rated[:, column])
                if known.any():
                    said[test, column] = _ridge(features[known], rated[known, column], features[test])
            known = ~test & labelled
            if len(np.unique(classes[known])) >= 2:
                chosen[test] = _logistic(features[known], classes[known], features[test])
        for name, figures in dimensional(rated, said, resample).items():
            found.setdefault(name, []).append({"ccc": figures["ccc"]})
        tested = labelled & (chosen != UNLABELLED)
        if tested.any():
            figures = classification(classes[tested], chosen[tested], asked.labels, resample.only(tested))
            found.setdefault(EMOTION, []).append({"ua": figures["ua"]})
    return found


def _standardised(states: npt.NDArray[np.floating], train: Mask) -> Floats:
    """Bring every dimension of every layer, (clips, layers, width), to mean 0 and deviation 1 over training clips."""
    heard = states[train].astype(np.float32)
    deviation = np.maximum(heard.std(axis=0), LEAST_SPREAD)
    return np.asarray((states.astype(np.float32) - heard.mean(axis=0)) / deviation, np.float32)


def _ridge(features: Floats, targets: npt.NDArray[np.float64], asked: Floats) -> npt.NDArray[np.float64]:
    from sklearn.linear_model import Ridge

    return np.asarray(Ridge(alpha=RIDGE).fit(features, targets).predict(asked), np.float64)


def _logistic(features: Floats, targets: npt.NDArray[np.int64], asked: Floats) -> npt.NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTH, max_iter=1_000, class_weight="balanced").fit(features, targets)
    return np.asarray(model.predict(asked), np.int64)


def _weights(
    states: Floats, rated: npt.NDArray[np.float64], classes: npt.NDArray[np.int64], names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Train one softmax over the layers per target, each with its own linear layer; shares (targets, layers).

    The targets share nothing but the loop: their losses add up, and no weight stands in two of them. All begin with the
    plain mean of the layers and a linear layer of zeros, or layers would first be weighed by what means nothing.
    """
    import torch
    from torch import Tensor, nn

    from sercli.methods.terms import discordance
    from sercli.models.heads import LayerMix

    heard, wanted = torch.from_numpy(states), torch.from_numpy(classes)
    mixes = [LayerMix(states.shape[1]) for _ in names]
    heads = [nn.Linear(states.shape[2], int(classes.max()) + 1 if name == EMOTION else 1) for name in names]
    for head in heads:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)

    def loss(name: str, said: Tensor) -> Tensor:
        if name == EMOTION:
            labelled = wanted != UNLABELLED
            return nn.functional.cross_entropy(said[labelled], wanted[labelled])
        aims = torch.from_numpy(rated[:, DIMENSIONS.index(name)].astype(np.float32))
        known = aims.isfinite()
        return discordance((aims[known] - aims[known].mean()) / aims[known].std(correction=0), said[known, 0])

    parameters = [weight for module in (*mixes, *heads) for weight in module.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    for _ in range(STEPS):
        terms = [
            loss(name, head(mix(heard))) + PENALTY * head.weight.square().sum()
            for name, mix, head in zip(names, mixes, heads, strict=True)
        ]
        optimiser.zero_grad()
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return np.array([mix.weights.detach().double().numpy() for mix in mixes])

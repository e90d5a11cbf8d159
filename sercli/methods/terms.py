"""Pieces that the loss terms of several methods are made of."""

from __future__ import annotations

import torch
from torch import Tensor

SHORTEST = 1e-6  # a vector shorter than this has no direction
FEWEST_RATINGS = 2  # a single rating agrees with nothing
LEAST_SPREAD = 0.01  # deviation of the ratings in a batch; with less there is nothing to agree with


def precise(values: Tensor) -> Tensor:
    """Turn half-precision numbers into float32 and leave all others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32)) if values.is_floating_point() else values


def weighted_mean(per_clip: Tensor, weights: Tensor) -> Tensor:
    """Average values (batch,) with the clips' weights (batch,)."""
    return (weights * per_clip).sum() / weights.sum()


def known_log_softmax(logits: Tensor, known: Tensor) -> Tensor:
    """Log-softmax over the known classes alone, as if the others did not exist.

    Args:
        logits: shape (..., classes)
        known: bool, broadcastable to it

    Returns:
        same shape; 0 for unknown classes, which get no gradient
    """
    lowest = torch.finfo(logits.dtype).min  # finite: a row without any known class must not become NaN
    return torch.where(known, torch.log_softmax(torch.where(known, logits, lowest), dim=-1), 0.0)


def divergence(teacher: Tensor, student: Tensor, known: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(teacher || student) over the known classes.

    Args:
        teacher: logits, shape (..., classes)
        student: logits, shape (..., classes)
        known: bool, broadcastable to both

    Returns:
        in nats, shape (...)
    """
    expected, found = known_log_softmax(teacher, known), known_log_softmax(student, known)
    return (expected.exp() * (expected - found)).sum(dim=-1)  # both are 0 where unknown


def decoupled(teacher: Tensor, student: Tensor, targets: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Take KL(teacher || student) apart: target class or not, and which of the others if not (Zhao et al. 2022).

        TCKD = KL(b_teacher || b_student), b = (p_t, 1 - p_t), p = softmax of the logits, t the target
        NCKD = KL(q_teacher || q_student), q = softmax of the logits over the classes other than t

    so that KL(p_teacher || p_student) = TCKD + (1 - p_t of the teacher) NCKD. The target is left out of q exactly.

    Args:
        teacher: logits, divided by the temperature, shape (..., classes)
        student: the same shape
        targets: probabilities; of several classes (mixup) the terms of each are averaged by its share; as known
        known: bool, broadcastable to the logits

    Returns:
        TCKD and NCKD in nats, each of shape (...)
    """
    # Row t of a clip's (classes, classes) mask: the classes that are left when t is the target.
    others = known[..., None, :] & ~torch.eye(known.shape[-1], dtype=torch.bool, device=known.device)
    binary = [torch.stack(_target_or_not(logits, known, others)) for logits in (teacher, student)]
    tckd = (binary[0].exp() * (binary[0] - binary[1])).sum(dim=0)
    nckd = divergence(teacher[..., None, :], student[..., None, :], others)
    return (targets * tckd).sum(dim=-1), (targets * nckd).sum(dim=-1)


def _target_or_not(logits: Tensor, known: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each class, and of all others together, each of shape (..., classes)."""
    lowest = torch.finfo(logits.dtype).min
    everything = torch.where(known, logits, lowest).logsumexp(dim=-1, keepdim=True)
    rest = torch.where(others, logits[..., None, :], lowest).logsumexp(dim=-1)
    return known_log_softmax(logits, known), rest - everything


def cross_entropy(logits: Tensor, targets: Tensor, known: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the known classes.

    Args:
        logits: shape (..., classes)
        targets: probabilities, or zeros of a clip without a label, which counts nothing; broadcastable to it
        known: bool, of the shape of the targets
        label_smoothing: share of the target that is spread evenly over the known classes

    Returns:
        in nats, shape (...)
    """
    even = known / known.sum(dim=-1, keepdim=True)
    targets = (1.0 - label_smoothing) * targets + label_smoothing * even * targets.sum(dim=-1, keepdim=True)
    return -(targets * known_log_softmax(logits, known)).sum(dim=-1)


def unit_length(vectors: Tensor, dim: int = -1) -> Tensor:
    """Scale vectors along `dim` to Euclidean length 1.

    A vector without length stays as it is, and so does its gradient, which dividing by a tiny number would blow up.
    """
    squares = vectors.square().sum(dim=dim, keepdim=True)
    return vectors / torch.where(squares > SHORTEST**2, squares, 1.0).sqrt()


def discordance(x: Tensor, y: Tensor) -> Tensor:
    """1 - CCC (Lin 1989) with population moments, from 0 to 2.

    Args:
        x: ratings, shape (clips,)
        y: what is said, shape (clips,)

    Returns:
        scalar; 0 for fewer than two clips, 1 without a gradient where the ratings hardly differ
    """
    if len(x) < FEWEST_RATINGS:
        return y.sum() * 0.0
    if x.std(correction=0) < LEAST_SPREAD:
        return 1.0 + y.sum() * 0.0
    mean_x, mean_y = x.mean(), y.mean()
    shared = ((x - mean_x) * (y - mean_y)).mean()
    spread = x.var(correction=0) + y.var(correction=0) + (mean_x - mean_y) ** 2
    return 1.0 - 2.0 * shared / spread

"""The papers behind the methods, for the card: whom to cite for how a student was made."""

from __future__ import annotations

from collections.abc import Iterable

PAPERS = {
    "am-softmax": ("Wang et al., IEEE Signal Processing Letters 2018", "1801.05599"),
    "at": ("Zagoruyko and Komodakis, ICLR 2017", "1612.03928"),
    "audio-text": ("de Oliveira, Prabhu and Gerkmann, Interspeech 2023", "2305.19184"),
    "dist": ("Huang et al., NeurIPS 2022", "2205.10536"),
    "distilhubert": ("Chang et al., ICASSP 2022", "2110.01900"),
    "dkd": ("Zhao et al., CVPR 2022", "2203.08679"),
    "dkdfmh": ("Zhao, Wang, Wang and Schuller, ICASSP 2023", "2303.05134"),
    "fitnets": ("Romero et al., ICLR 2015", "1412.6550"),
    "gmp-atl": ("Pan et al., SLT 2024", "2405.02151"),
    "kd": ("Hinton, Vinyals and Dean, 2015", "1503.02531"),
    "kd-std": ("Sun et al., CVPR 2024", "2403.01427"),
    "mlkd": ("Liu et al., Interspeech 2023", "2312.13556"),
    "nsl": ("Chang et al., ICASSP 2023", "2210.14977"),
    "rkd": ("Park et al., CVPR 2019", "1904.05068"),
    "self": ("Ren et al., 2022", "2210.14636"),
    "sp": ("Tung and Mori, ICCV 2019", "1907.09682"),
}
"""Method to authors and arXiv number."""
OWN = ("ccc", "ce", "pooled")
"""Methods without a paper: cross-entropy, agreement with a teacher's ratings, and regression of pooled states, ours."""


def citations(methods: Iterable[str]) -> list[tuple[str, str, str]]:
    """List method, authors and address of the paper, for those methods that have one."""
    return [
        (name, authors, f"https://arxiv.org/abs/{number}")
        for name in methods
        for authors, number in (PAPERS.get(name, ("", "")),)
        if number
    ]

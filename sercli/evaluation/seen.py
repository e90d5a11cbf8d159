"""Has a model met the people it is tested on? A figure on them says nothing about anybody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sercli.corpora.table import Utterance
from sercli.evaluation.model import Heard

SHOWN_SPEAKERS = 6


def seen(heard: Heard | None, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Compare the test speakers with those a model was trained on or selected and calibrated by.

    People are told apart by corpus and speaker, so utterances that name no corpus, or no speaker of a training corpus,
    may be anybody's.

    Returns:
        status `unseen`, `seen` (all of them), `partly seen` or `unknown` (the model, or the data, does not say), with
        the speakers met, how many utterances are theirs, and one sentence for people
    """
    if heard is None:
        message = "the model does not say whom it was trained on: nobody can tell whether this is a test"
        return {"status": "unknown", "speakers": [], "utterances": 0, "message": message}
    corpora = {corpus for corpus, _ in heard.train | heard.dev}
    met = [utterance for utterance in utterances if utterance in heard]
    nameless = [u for u in utterances if u not in heard and (not u.corpus or (not u.speaker and u.corpus in corpora))]
    trained = sorted({f"{u.corpus}/{u.speaker}" for u in met if (u.corpus, u.speaker) in heard.train})
    chosen = sorted({f"{u.corpus}/{u.speaker}" for u in met} - set(trained))
    sentences = []
    if trained:
        sentences.append(f"trained on {_people(trained)}")
    if chosen:
        sentences.append(f"selected and calibrated on {_people(chosen)}")
    if met:
        status = "seen" if len(met) == len(utterances) else "partly seen"
        message = f"the model was {' and '.join(sentences)}: {len(met)} of {len(utterances)} utterances are theirs"
    elif nameless:
        status = "unknown"
        message = f"{len(nameless)} utterances name no corpus, or no speaker of a training corpus: nobody can tell"
    else:
        status, message = "unseen", "no speaker in common with the model's training and development speakers"
    return {"status": status, "speakers": sorted([*trained, *chosen]), "utterances": len(met), "message": message}


def _people(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_SPEAKERS} more" if len(names) > SHOWN_SPEAKERS else ""
    return f"{', '.join(names[:SHOWN_SPEAKERS])}{more}"

"""Speech corpora: one file per corpus, one table of utterances, splits and checks.

`read_corpus("ravdess", root)` reads an official release where it lies; a table (.csv, .jsonl) or a folder per
class brings in a user's own data.
"""

from __future__ import annotations

import os
from pathlib import Path

from sercli.corpora import (
    aesdd,
    ased,
    baved,
    cafe,
    cremad,
    demos,
    emodb,
    emovdb,
    emovo,
    esd,
    folder,
    iemocap,
    jl,
    meld,
    msp_improv,
    msp_podcast,
    nemo,
    ravdess,
    savee,
    tess,
    turev,
    urdu,
)
from sercli.corpora.corpus import Corpus
from sercli.corpora.table import Utterance, is_table, read_table
from sercli.errors import CorpusError, UsageError
from sercli.nearest import nearest

__all__ = ["CORPORA", "Corpus", "Utterance", "read_corpus"]

CORPORA: dict[str, Corpus] = {
    module.CORPUS.name: module.CORPUS
    for module in (
        *(ravdess, emodb, nemo, tess, aesdd, cremad, iemocap, msp_podcast, msp_improv, meld, esd),
        *(emovdb, jl, savee, cafe, emovo, demos, urdu, ased, turev, baved),
    )
}
"""Name to corpus, in the order they are listed in."""


def read_corpus(name: str, root: str | os.PathLike[str] | None = None) -> list[Utterance]:
    """Read a corpus into one table, sorted by path.

    Args:
        name: a name in CORPORA, `folder` for a folder per class, or the path of a table (.csv, .jsonl):
            one of ours, of audformat and nkululeko, or of EmoBox
        root: the corpus's own folder; not needed for a table

    Raises:
        UsageError: unknown name, or no root where one is needed.
        CorpusError: the folder is missing or does not look like that corpus, or the table is malformed.
    """
    if is_table(name):
        return sorted(read_table(name), key=lambda utterance: (utterance.path, utterance.start))
    if name not in CORPORA and name != folder.NAME:
        known = [*CORPORA, folder.NAME]
        hint = nearest(name, known)
        raise UsageError(f'unknown corpus "{name}"{hint}; choose one of {", ".join(known)}, or a .csv or .jsonl table')
    if root is None:
        raise UsageError(f"where is {name}? Name its folder with --root DIR")
    path = Path(root).absolute()
    corpus = CORPORA.get(name)
    if not path.is_dir():
        get = f"; get it from {corpus.how_to_get}" if corpus else "; name a folder that holds one folder per class"
        raise CorpusError(f"{root}: no such folder to read {name} from{get}")
    utterances = corpus.read(path) if corpus else folder.read(path)
    if corpus and not utterances:
        raise CorpusError(f"{root}: does not look like {name}; expected files such as {corpus.layout} in it")
    return sorted(utterances, key=lambda utterance: utterance.path)

"""Pretrained transformers models: found on the Hub or on disk, and loaded with nothing left to chance.

Only safetensors are read and no remote code runs. A checkpoint that lacks a weight is refused: transformers
would put random numbers in its place and go on, and a teacher with random layers answers at little above chance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sercli.errors import BundleError, ModelNotFoundError, RecipeError, first_line

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "normalizer.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "README.md",
    WEIGHTS,
    SHARDS,
    "model-*-of-*.safetensors",
)
"""What is fetched of a Hub repository: a repository may also hold the same weights in four other formats."""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained model's files."""

    folder: Path
    revision: str
    """full commit on the Hub; empty for a local folder"""
    settings: dict[str, Any]
    """config.json as it stands"""
    licence: str
    """of its card; empty where the card says none"""


def find(name: str, revision: str = "") -> Pretrained:
    """Find a model's files: a local folder, or a Hub id, which is downloaded or taken from the Hub's cache.

    Args:
        name: folder, or Hub id such as `facebook/hubert-base-ls960`
        revision: of a Hub id: commit, tag or branch; a tag or branch is resolved to the commit it names now

    Raises:
        ModelNotFoundError: no such folder, id or revision, or the Hub cannot be reached and has nothing cached
        RecipeError: a Hub id without a revision, or a folder with one
        BundleError: no config.json that can be read, or no safetensors
    """
    folder, commit = Path(name).expanduser(), ""
    if folder.is_dir():
        if revision:
            raise RecipeError(f"{name}: a local folder has no revision {revision!r}; leave the revision empty")
    elif not revision:
        if name.startswith((".", "~", "/")) or name.count("/") > 1:
            raise ModelNotFoundError(f"{name}: no such folder; give a folder of a pretrained model, or a Hub id")
        raise RecipeError(
            f"{name}: not a folder, and a Hub id needs a revision so that a run can be repeated; "
            f"give the commit shown under 'Files and versions' of {_endpoint()}/{name}, or main for the newest"
        )
    else:
        folder = _download(name, revision)
        commit = folder.name
    settings = _read_json(folder / "config.json")
    _check_weight_files(folder)
    return Pretrained(folder, commit, settings, _licence(folder / "README.md"))


def name_and_revision(given: str) -> tuple[str, str]:
    """Part `owner/name@revision` of a command line; a folder has no revision, whatever its name holds."""
    if Path(given).expanduser().is_dir():
        return given, ""
    name, _, revision = given.partition("@")
    return name, revision


def load(
    model_class: Any,
    files: Pretrained,
    config: Any,
    renames: dict[str, str] | None = None,
    unread: Sequence[str] = (),
) -> nn.Module:
    """Load a model's weights in float32, all of them or none.

    Heads and decoders in the checkpoint that the model does not have are passed over; a weight of the model's
    own parts that does not belong (a layer too many) is refused like one that is missing.

    Args:
        model_class: class with transformers' `from_pretrained`
        files: where the weights are
        config: the model's configuration
        renames: regular expressions of checkpoint keys to what replaces them
        unread: parts of the model whose answer nobody reads, which a checkpoint may lack

    Raises:
        BundleError: weights that are missing, damaged, too many or of another shape, naming them
    """
    from safetensors import SafetensorError
    from torch import float32

    try:
        with quiet():
            model, report = model_class.from_pretrained(
                files.folder,
                config=config,
                dtype=float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # transformers' own refusal does not say which weight; ours below does
                output_loading_info=True,
                key_mapping=renames,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as problem:
        raise BundleError(f"{files.folder}: cannot load the weights ({first_line(problem)})") from problem
    parts = {child for child, _ in model.named_children()}
    prefix = f"{model.base_model_prefix}."
    extra = [key for key in report["unexpected_keys"] if key.removeprefix(prefix).split(".")[0] in parts]
    shapes = [f"{key} {tuple(found)}, not {tuple(wanted)}" for key, found, wanted in report["mismatched_keys"]]
    missing = [key for key in report["missing_keys"] if key.split(".")[0] not in unread]
    for fault, keys in (("missing", missing), ("unexpected", extra), ("of another shape:", shapes)):
        if keys:
            raise BundleError(
                f"{files.folder}: weights {fault} {_shortened(sorted(keys))}; random weights in such places answer at "
                "chance, so get the checkpoint again or one whose config.json fits it"
            )
    assert isinstance(model, nn.Module)
    return model


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's weights: names, types, shapes and values, whatever files they came from."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except errors.HFValidationError as problem:
        raise ModelNotFoundError(f"{name!r} is neither a folder nor a Hub id (OWNER/NAME)") from problem
    except errors.GatedRepoError as problem:
        raise ModelNotFoundError(
            f"{name}: its owner grants access by request; ask for it on {_endpoint()}/{name}, then run `hf auth login`"
        ) from problem
    except errors.RepositoryNotFoundError as problem:
        raise ModelNotFoundError(
            f"{name}: {_endpoint()} has no such model, or it is private; check the id, or run `hf auth login`"
        ) from problem
    except errors.RevisionNotFoundError as problem:
        raise ModelNotFoundError(
            f"{name}: no revision {revision!r}; see 'Files and versions' of {_endpoint()}/{name}"
        ) from problem
    except Exception as problem:  # also the errors of the HTTP client, which differs between versions of the library
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else first_line(problem)
        raise ModelNotFoundError(
            f"{name}: revision {revision!r} is not in the cache and the Hub cannot be reached ({reason}); connect and "
            "unset HF_HUB_OFFLINE, name a mirror in HF_ENDPOINT, or give a local folder"
        ) from problem


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        reason = "does not exist" if isinstance(problem, FileNotFoundError) else f"cannot be read ({problem})"
        raise BundleError(f"{path}: {reason}; give the folder or Hub id of a pretrained model") from problem
    if not isinstance(values, dict):
        raise BundleError(f"{path}: not a JSON object; get the file again")
    return values


def _check_weight_files(folder: Path) -> None:
    if (folder / WEIGHTS).is_file():
        return
    if not (folder / SHARDS).is_file():
        raise BundleError(
            f"{folder}: no {WEIGHTS}, and pickled weights (pytorch_model.bin) are never loaded; name a revision that "
            "has safetensors (on the Hub often refs/pr/N, listed under 'Community'), or convert them once"
        )
    shards = set(_read_json(folder / SHARDS).get("weight_map", {}).values())
    absent = sorted(shard for shard in shards if not shard.endswith(".safetensors") or not (folder / shard).is_file())
    if absent or not shards:
        raise BundleError(f"{folder / SHARDS}: no safetensors {_shortened(absent)}; get the model's files again")


def _licence(card: Path) -> str:
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        return str((metadata_load(card) or {}).get("license") or "")
    except (OSError, ValueError, YAMLError):
        return ""  # no card, or one that cannot be read: it says nothing


def _shortened(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back transformers' loading bar and its report in colour: what matters in them is raised in one line."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

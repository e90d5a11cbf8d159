"""Modules whose state leaves out weights that nobody trained: hundreds of megabytes that are on the Hub already."""

from __future__ import annotations

from typing import Any

from torch import nn


def leave_out(module: nn.Module) -> None:
    """Keep what `module.frozen` names, keys of its state, out of that state, and do not miss it when loading."""
    module.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]
    module.register_load_state_dict_post_hook(_not_missing)  # type: ignore[no-untyped-call]


def _without_frozen(module: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in module.frozen:
        state.pop(prefix + name, None)


def _not_missing(module: Any, keys: Any) -> None:
    """Do not call missing what is left out on purpose, wherever in a larger module it stands."""
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(tuple(module.frozen))]

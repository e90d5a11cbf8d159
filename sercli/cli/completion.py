"""Shell completions, generated from the commands: `python -m sercli.cli.completion completions`."""

from __future__ import annotations

import sys
from pathlib import Path

from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from sercli.cli.main import cli

SHELLS: dict[str, type[ShellComplete]] = {
    "sercli.bash": BashComplete,
    "_sercli": ZshComplete,
    "sercli.fish": FishComplete,
}
"""File name to the shell it is for."""


def sources() -> dict[str, str]:
    """Build the completion file of every shell; file name to text."""
    files = {}
    for name, shell in SHELLS.items():
        complete = shell(cli, {}, "sercli", "_SERCLI_COMPLETE")
        # Not complete.source(): for bash that first looks which bash is installed here, which is not where it will run.
        files[name] = complete.source_template % complete.source_vars()
    return files


def main(folder: Path) -> None:
    """Write the completion files into a folder."""
    for name, text in sources().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

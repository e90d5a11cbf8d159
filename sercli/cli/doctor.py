"""`sercli doctor`: is everything here that sercli needs?"""

from __future__ import annotations

import click

from sercli.cli import output
from sercli.cli.options import table_or_json
from sercli.errors import ExitCode


@click.command(epilog="Exit codes: 0 nothing is broken, 1 something is, 2 wrong usage.")
@table_or_json
@click.option("--online", is_flag=True, help="Ask the Hub too whether it answers; without this, no network call.")
@click.pass_context
def doctor(ctx: click.Context, form: str, online: bool) -> None:
    """Examine this installation, and say what mends it.

    Versions, execution providers, audio formats, students (hashed and run), microphones, devices to train on, caches
    with place and size, the Hub's endpoint. `broken` needs mending; `missing` only for the commands that are named.

    \b
    sercli doctor
    sercli doctor --format json | jq '.checks[] | select(.status == "broken")'
    """
    from sercli.doctor import checks

    found = list(checks(online))
    healthy = not any(check.status == "broken" for check in found)
    if form == "json":
        import json

        told = [
            {"name": check.name, "status": check.status, "found": check.found, "mend": check.mend or None}
            for check in found
        ]
        output.result(json.dumps({"healthy": healthy, "checks": told}, ensure_ascii=False, indent=2))
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            output.result(f"{check.status:<7}  {check.name:<{width}}  {check.found}")
            if check.mend:
                output.result(f"{'':<7}  {'':<{width}}  mend it: {check.mend}")
    if not healthy:
        output.error("something needed is broken; the lines above say what mends it")
        ctx.exit(ExitCode.FAILED)

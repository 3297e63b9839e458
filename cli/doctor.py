"""`tradeflow doctor`: what is installed, what is missing, and how to get it."""

import json
import sys

import typer

from cli.errors import told
from cli.help import NO_VALUE

MISSING = 1


def doctor(
    as_json: bool = typer.Option(
        False, "--json", metavar=NO_VALUE, help="Print one JSON object only."
    ),
) -> None:
    """Check this machine: what is installed, what is missing and how to get it.

    Exit code 1 if something that a backtest needs is missing.
    """
    with told():
        from cli.checks import all_checks

        checks = all_checks()
        is_ready = all(check.is_fine or not check.is_needed for check in checks)
        if as_json:
            shown = {"ready": is_ready, "checks": [check._asdict() for check in checks]}
            json.dump(shown, sys.stdout)
            print()
        else:
            from rich import box
            from rich.table import Table
            from rich.text import Text

            from cli.render import stdout_console

            console = stdout_console()
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
            table.add_column("part", no_wrap=True)
            table.add_column("", no_wrap=True)
            table.add_column("found")
            for check in checks:
                state = "ok" if check.is_fine else "MISSING" if check.is_needed else "without"
                style = "" if check.is_fine else "bold red" if check.is_needed else "yellow"
                found = check.found if check.is_fine else f"{check.found}; {check.remedy}"
                table.add_row(check.part, Text(state, style=style), Text(found))
            console.print(table)
            console.print()
            if is_ready:
                console.print("all that a backtest needs is here")
            else:
                console.print("a backtest lacks what is marked MISSING")
    if not is_ready:
        raise typer.Exit(MISSING)

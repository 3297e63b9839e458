"""Options that the commands of live stores share."""

from pathlib import Path
from typing import Annotated

import typer

STORE = "The store"

Stack = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="The stack's folder, else .run/live/<run id>.",
        rich_help_panel=STORE,
    ),
]
StoreAddress = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="HOST:PORT",
        help="The address of a store, instead of a stack's.",
        rich_help_panel=STORE,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The database, else the one of the run.", rich_help_panel=STORE
    ),
]
LIVE_CONFIG = Path("conf/live.yaml")

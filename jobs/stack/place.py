"""Where a stack's folder is."""

from pathlib import Path

from jobs.stack.processes import supervisor_of
from jobs.stack.state import FILE
from udfs.errors import ConfigError

STACKS = Path(".run") / "live"


def folder_of(run_id: str, given: Path | None) -> Path:
    """The folder of a run's stack."""
    return (given or STACKS / run_id).absolute()


def find(given: Path | None) -> Path:
    """The folder that was given, else the only one of the current directory, or that which runs.

    ConfigError where there is none, or more than one.
    """
    if given is not None:
        return given.absolute()
    found = sorted(file.parent.absolute() for file in STACKS.glob(f"*/{FILE}"))
    if not found:
        raise ConfigError(
            f"there is no stack in {STACKS}; start one by `tradeflow up`, or name its folder "
            "by --dir"
        )
    running = [one for one in found if supervisor_of(one) is not None]
    chosen = running if len(found) > 1 and running else found
    if len(chosen) > 1:
        what = "several stacks run" if running else "there are several stacks"
        named = ", ".join(str(STACKS / one.name) for one in chosen)
        raise ConfigError(f"{what}: name one by --dir: {named}")
    return chosen[0]

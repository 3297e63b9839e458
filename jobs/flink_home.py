"""`python -m jobs.flink_home DIR`: Flink as its scripts and Kubernetes expect it, for the image.

DIR/bin      the scripts of Flink's wheel
DIR/lib      the jars of a live stack, those of `make jars` and the changed classes among them
DIR/opt      what `flink run` needs for Python
DIR/plugins  access to object storage, where `mvn -P image` has fetched it
DIR/conf     deploy/docker/flink; Kubernetes puts its own over it
"""

import shutil
import sys
from pathlib import Path

from jobs import jvm
from jobs.jar_patches import JARS
from jobs.stack import flink
from udfs.errors import ConfigError, TradeflowError

CONF = jvm.REPO / "deploy" / "docker" / "flink"
LOG_CONSOLE = jvm.REPO / "deploy" / "docker" / "log4j-console.properties"


def make(folder: Path) -> None:
    """Make the folder; ConfigError where it is there already."""
    if folder.exists():
        raise ConfigError(f"{folder} is there already; remove it, or name another")
    home = jvm.flink_home()
    # Copied: a script that is a link would take the wheel's folder for Flink's.
    shutil.copytree(home / "bin", folder / "bin")
    for name in ("lib", "opt", "plugins", "log"):
        (folder / name).mkdir()
    for link in flink.library_folder().iterdir():
        (folder / "lib" / link.name).symlink_to(link.resolve())
    for jar in (home / "opt").glob("flink-python-*.jar"):
        (folder / "opt" / jar.name).symlink_to(jar)
    plugins = JARS / "plugins"
    if plugins.is_dir():
        shutil.copytree(plugins, folder / "plugins", dirs_exist_ok=True)
    shutil.copytree(CONF, folder / "conf")
    # Flink's scripts log by this name, and its client by the other.
    for name in (LOG_CONSOLE.name, "log4j-cli.properties"):
        shutil.copy(LOG_CONSOLE, folder / "conf" / name)


def main() -> int:
    """Make the folder that is named; 2 where it can't be made."""
    try:
        make(Path(sys.argv[1]))
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Execute the notebooks and write their outputs: `python -m scripts.render_notebooks`.

What is written is the same on each machine: no paths, no times of execution, no versions. A test
executes them likewise and holds the committed outputs against what it gets.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 300  # for one cell; the first run on a machine compiles kernels and lists fonts
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> str:
    """The notebook's file with fresh outputs, run in its folder by this Python and this checkout.

    nbclient's CellExecutionError where a cell fails.
    """
    # For formats that no notebook has, jsonschema would build a grammar of addresses, for 1.5 s.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": folder,  # nobody's own start-up files
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else a warning of its debugger on stderr
        }
        # Sockets in that folder instead of ports, which another process might take.
        sockets = {"transport": "ipc", "ip": f"{folder}/kernel"}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            config=Config(
                {"KernelManager": {**sockets, "connection_file": f"{folder}/kernel.json"}}
            ),
        )
        client.execute(env=environment)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    nbformat.validate(notebook)
    return f"{nbformat.writes(notebook)}\n"


def main() -> None:
    """Write every notebook with its outputs."""
    for path in NOTEBOOKS:
        path.write_text(executed(path), encoding="utf-8")
        print(path.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()

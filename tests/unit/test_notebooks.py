"""The notebooks run on a fresh checkout, and show as they are committed what they give."""

import base64
import io
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from scripts.render_notebooks import METADATA, NOTEBOOKS, ROOT, executed

PLACES = re.compile(r"(?<![\w.<:/])/(?:home|root|tmp|usr|opt|var|work|private|Users|mnt)\b")
PNG = "image/png"


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def committed(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def outputs(notebook: Any) -> list[Any]:
    return [out for cell in notebook["cells"] for out in cell.get("outputs", [])]


def pictures(notebook: Any) -> list[str]:
    """As base64."""
    return [out["data"][PNG] for out in outputs(notebook) if PNG in out.get("data", {})]


def shown(notebook: Any) -> list[list[str]]:
    """What the cells print and answer, in their order, and whether as a picture.

    Without stderr: matplotlib tells there that its first run on a machine lists the fonts.
    """
    found = []
    for out in outputs(notebook):
        if out.get("name") != "stderr":
            data = out.get("data", {})
            lines = out.get("text") or data.get("text/plain", [])
            found.append([*lines, "a picture"] if PNG in data else [*lines])
    return found


def sources(notebook: Any, kind: str) -> str:
    return "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind)


@pytest.mark.slow
def test_it_runs_and_gives_what_is_committed(path: Path, committed: Any) -> None:
    """`make pictures` writes the outputs anew; the run itself leaves no file behind."""
    before = set(path.parent.iterdir())
    assert shown(json.loads(executed(path))) == shown(committed)
    assert set(path.parent.iterdir()) == before


def test_as_committed_it_shows_its_pictures(committed: Any) -> None:
    import matplotlib.image  # here, as it takes long and every process collects this file

    assert len(pictures(committed)) >= 3
    for picture in pictures(committed):
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(picture)))
        assert pixels.shape[0] > 200 and pixels.shape[1] > 600
        assert 0.005 < (pixels[..., :3].min(axis=2) < 0.6).mean() < 0.5  # ink on a light ground


def test_as_committed_it_names_no_machine(committed: Any) -> None:
    texts = [sources(committed, "markdown"), sources(committed, "code")]
    for out in outputs(committed):
        assert out["output_type"] not in ("error", "stream")
        texts += ["".join(lines) for kind, lines in out["data"].items() if kind != PNG]
    whole = "\n".join(texts)
    assert not PLACES.findall(whole)
    places = {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.prefix}
    assert not [place for place in places if place in whole]
    assert committed["metadata"] == METADATA
    assert all(cell["metadata"] == {} for cell in committed["cells"])


def test_it_says_that_its_bars_are_simulated(committed: Any) -> None:
    assert "bars are simulated" in "".join(committed["cells"][0]["source"])
    code = sources(committed, "code")
    assert code.count("note=NOTE") == len(pictures(committed))
    assert re.search(r'^NOTE = "Simulated bars', code, re.M)


def test_its_links_lead_somewhere(path: Path, committed: Any) -> None:
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", sources(committed, "markdown"))
    assert len(links) > 3
    assert not [link for link in links if not (path.parent / link).exists()]

"""docs/pictures show what the example run gives today."""


def test_the_committed_pictures_are_those_of_the_example_run() -> None:
    """`make pictures` writes them anew."""
    # Here, as matplotlib takes long and every process collects this file.
    from matplotlib import image
    from PIL import Image

    from scripts.render_pictures import FOLDER, NOTE, example_run, pictures

    with example_run() as report:
        found = pictures(report)
    assert (FOLDER / "summary.svg").read_text(encoding="utf-8") == found.summary
    with Image.open(FOLDER / "equity.png") as committed:
        assert committed.text["Description"] == found.equity_text
    height, width, _ = image.imread(FOLDER / "equity.png").shape
    assert (width, height) == tuple(found.equity.get_size_inches() * found.equity.dpi)
    assert NOTE in found.summary and "simulated" in NOTE

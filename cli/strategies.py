"""`tradeflow strategies`: the kinds of strategies and how to write them down."""

from cli.errors import told

TYPES = {"period": "whole, 2 or more", "number": "number", "timeframe": "timeframe"}


def strategies() -> None:
    """List the kinds of strategies: what each does, its parameters and the features it needs."""
    with told():
        from rich import box
        from rich.table import Table
        from rich.text import Text

        from cli.render import stdout_console
        from udfs.strategies import KINDS, example_params

        console = stdout_console()
        for kind in KINDS.values():
            console.print(Text(f"\n{kind.name}", style="bold"))
            console.print(f"  {kind.doc}", markup=False)
            table = Table(box=box.SIMPLE, show_header=False, show_edge=False, padding=(0, 1))
            for param in kind.params:
                table.add_row(f"  {param.name}", TYPES.get(param.type, param.type), param.doc)
            console.print(table)
            params = example_params(kind)
            console.print(f"  needs {', '.join(kind.features(params))}", markup=False)
            console.print(example_line(kind.name, params), markup=False, soft_wrap=True)
        console.print(
            "\nInstead of params, `grid: {fast: [5, 6], slow: [20, 30]}` runs every combination "
            "that makes sense,\nand `sets: [{fast: 5, slow: 13}, ...]` the listed ones.",
            markup=False,
        )


def example_line(kind: str, params: dict[str, int | float | str]) -> str:
    """A line of `strategies:` as a configuration has it."""
    values = ", ".join(f"{name}: {value}" for name, value in params.items())
    return f"  - {{id: my-{kind.replace('_', '-')}, kind: {kind}, params: {{{values}}}}}"

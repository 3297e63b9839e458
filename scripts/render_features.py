"""Write docs/features.md from the code: `python -m scripts.render_features`."""

from pathlib import Path

from cli.strategies import TYPES
from udfs.features import CATALOG, FEATURE_VERSION, CatalogEntry, lookback
from udfs.strategies import KINDS, Kind, example_params

PAGE = Path(__file__).resolve().parent.parent / "docs" / "features.md"

INTRODUCTION = f"""\
# Features and kinds of strategies

Rendered from `udfs/features` and `udfs/strategies` by `python -m scripts.render_features`; a test
keeps them equal. Version of the features: {FEATURE_VERSION}.

## Features

- Any period can be asked for: `ema_7` as well as `ema_200`. A feature has one name only, so write
  `2`, not `2.0`.
- A feature of another timeframe has it in front: `15m:ema_50`. It is the one of the last 15m bar
  that had closed.
- A feature is null until it has seen enough bars. The last column says how many come before the
  first value, for the example's periods.
- Capital letters are parameters. K is a number of deviations, such as 2 or 2.5; all others count
  bars.

| name | example | what it is | equal to | bars before |
|---|---|---|---|---|
"""

KINDS_TEXT = """\
## Kinds of strategies

BUY is an entry, SELL an exit. What exactly counts as a crossing is in
[semantics.md](semantics.md#strategies-and-signals).
"""


def feature_row(entry: CatalogEntry) -> str:
    """One kind of feature."""
    before = lookback(entry.example)
    return (
        f"| `{entry.pattern}` | `{entry.example}` | {entry.meaning} | {entry.source} "
        f"| {'not fixed' if before is None else before} |\n"
    )


def kind_text(kind: Kind) -> str:
    """One kind of strategy: parameters, needed features, reasons, a line of configuration."""
    params = example_params(kind)
    rows = "".join(
        f"| `{param.name}` | {TYPES.get(param.type, param.type)} | {param.doc} |\n"
        for param in kind.params
    )
    values = ", ".join(f"{name}: {value}" for name, value in params.items())
    needed = ", ".join(f"`{name}`" for name in kind.features(params))
    buy, sell = kind.reasons(params)
    parts = [
        f"### {kind.name}\n",
        f"{kind.doc} Version {kind.version}.\n",
        f"| parameter | value | meaning |\n|---|---|---|\n{rows}",
        f"```yaml\nstrategies:\n"
        f"  - {{id: my-{kind.name.replace('_', '-')}, kind: {kind.name}, "
        f"params: {{{values}}}}}\n```\n",
        f"Needs {needed}. BUY: {buy}. SELL: {sell}.\n",
    ]
    return "\n".join(parts)


def render() -> str:
    """The whole page."""
    features = INTRODUCTION + "".join(map(feature_row, CATALOG))
    return "\n".join([features, KINDS_TEXT, *map(kind_text, KINDS.values())])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

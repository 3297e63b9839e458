"""Panels as these dashboards have them: one function for each kind, with one look.

Everything is made by Grafana's own SDK, whose classes are generated from the schemas of Grafana
11.6. They check few values when they run; their types are annotations, and `make check` holds this
package against them. Options of transformations and of overrides are open in those schemas: what
stands there follows Grafana's sources.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models import heatmap as heat_schema
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = schema.DataSourceRef(type_val="prometheus", uid="${datasource}")

AMOUNT = "locale"  # in full, with separators; of no currency, as accounts may have several
COUNT = "short"
SECONDS, MILLISECONDS, SHARE, BYTES = "s", "ms", "percentunit", "bytes"

Steps = Sequence[tuple[float | None, str]]  # from which value on which colour; None: below all
NEUTRAL: Steps = ((None, "text"),)
SIGNED: Steps = ((None, "red"), (0.0, "text"), (0.005, "green"))  # 0.01 is what amounts show
NONE_IS_GOOD: Steps = ((None, "green"), (0.5, "red"))  # counts of what should not be
OF_LIMIT: Steps = ((None, "green"), (0.8, "orange"), (1.0, "red"))

Words = Mapping[str, tuple[str, str]]  # value as text to (word, colour)
UP: Words = {"0": ("down", "red"), "1": ("up", "green")}
ACTIVE: Words = {"0": ("quiet", "green"), "1": ("active", "red")}
NOT_A_NUMBER = "NaN"

AnyPanel = TypeVar(
    "AnyPanel", stat.Panel, timeseries.Panel, table.Panel, heatmap.Panel, statetimeline.Panel
)


class Query(NamedTuple):
    """An expression and how its series are named; a limit is drawn dashed and red."""

    expression: str
    legend: str = ""
    is_limit: bool = False


class Column(NamedTuple):
    """A column of numbers in a table."""

    name: str
    expression: str
    unit: str = AMOUNT
    decimals: int | None = None
    steps: Steps = NEUTRAL
    words: Words | None = None


def single(
    title: str,
    about: str,
    unit: str,
    expression: str,
    *,
    steps: Steps = NEUTRAL,
    words: Words | None = None,
    decimals: int | None = None,
    now: bool = False,
) -> schema.Panel:
    """One number with its course behind it; `now` for what is asked for the whole range at once."""
    panel = _framed(stat.Panel(), title, about).unit(unit)
    panel = panel.thresholds(_thresholds(steps)).mappings(_mappings(words or {}))
    panel = panel.color_scheme(dashboard.FieldColor().mode(schema.FieldColorModeId.THRESHOLDS))
    panel = panel.color_mode(looks.BigValueColorMode.VALUE)
    panel = panel.graph_mode(
        looks.BigValueGraphMode.NONE if now or words else looks.BigValueGraphMode.AREA
    )
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    if decimals is not None:
        panel = panel.decimals(decimals)
    query = _query(0, expression)
    return panel.with_target(query.instant() if now else query.range()).build()


def lines(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    stacked_bars: bool = False,
    minutes: bool = False,
    lowest: float | None = None,
) -> schema.Panel:
    """Courses over time. `minutes`: no two points closer than a minute.

    Gaps stay gaps: the exporter tells nothing rather than something old.
    """
    panel = _framed(timeseries.Panel(), title, about).unit(unit).span_nulls(False)
    panel = panel.line_width(1).show_points(looks.VisibilityMode.AUTO).point_size(4)
    panel = panel.color_scheme(dashboard.FieldColor().mode(schema.FieldColorModeId.PALETTE_CLASSIC))
    panel = panel.tooltip(
        common.VizTooltipOptions()
        .mode(looks.TooltipDisplayMode.MULTI)
        .sort(looks.SortOrder.DESCENDING)
    )
    calcs = ["max", "sum"] if stacked_bars and minutes else ["lastNotNull", "min", "max"]
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(calcs)
    )
    if stacked_bars:
        stacked = common.StackingConfig().mode(looks.StackingMode.NORMAL)
        panel = panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).stacking(stacked)
    if minutes:
        panel = panel.interval("1m")
    if lowest is not None:
        panel = panel.axis_soft_min(lowest)
    for number, query in enumerate(queries):
        target = _query(number, query.expression).legend_format(query.legend).range()
        panel = panel.with_target(target)
        if query.is_limit:
            panel = panel.override_by_query(_letter(number), _as_limit())
    return panel.build()


def rows(
    title: str,
    about: str,
    labels: Mapping[str, str],
    *columns: Column,
    sort: str,
    descending: bool = True,
) -> schema.Panel:
    """A table as of now: columns for labels (label to heading), then for numbers.

    Several expressions must keep the same labels, as rows are joined over them.
    """
    panel = _framed(table.Panel(), title, about).unit(AMOUNT).show_header(True)
    panel = panel.cell_height(looks.TableCellHeight.SM).no_value("-")
    names = dict(labels)
    for number, column in enumerate(columns):
        query = _query(number, column.expression).format(PromQueryFormat.TABLE).instant()
        panel = panel.with_target(query)
        # Grafana adds the query's letter only where there are several.
        names[f"Value #{_letter(number)}" if len(columns) > 1 else "Value"] = column.name
        panel = panel.override_by_name(column.name, _of_column(column))
    panel = panel.with_transformation(schema.DataTransformerConfig(id_val="merge", options={}))
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    panel = panel.with_transformation(
        schema.DataTransformerConfig(id_val="organize", options=organized)
    )
    order = common.TableSortByFieldState().display_name(sort).desc(descending)
    return panel.sort_by([order]).build()


def states(title: str, about: str, words: Words, query: Query) -> schema.Panel:
    """A bar over time for each series, with a colour for each of its few values."""
    panel = _framed(statetimeline.Panel(), title, about).mappings(_mappings(words))
    panel = panel.thresholds(_thresholds(NEUTRAL))
    panel = panel.color_scheme(dashboard.FieldColor().mode(schema.FieldColorModeId.THRESHOLDS))
    panel = panel.show_value(looks.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
    panel = panel.legend(common.VizLegendOptions().show_legend(False))
    target = _query(0, query.expression).legend_format(query.legend).range()
    return panel.with_target(target).build()


def heat(title: str, about: str, unit: str, buckets: str, *, per: str) -> schema.Panel:
    """How often which value: the buckets of a histogram over time, one panel for each of `per`."""
    panel = _framed(heatmap.Panel(), title, about).calculate(False).show_legend()
    panel = panel.color(
        heatmap.HeatmapColorOptions()
        .mode(heat_schema.HeatmapColorMode.SCHEME)
        .scheme("Blues")
        .scale(heat_schema.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
    )
    panel = panel.y_axis(heatmap.YAxisConfig().unit(unit)).cell_values(
        heatmap.CellValues().unit(COUNT)
    )
    panel = panel.cell_gap(1).interval("1m")
    panel = panel.repeat(per).repeat_direction("h").max_per_row(3)
    query = _query(0, buckets).format(PromQueryFormat.HEATMAP).legend_format("{{le}}").range()
    return panel.with_target(query).build()


def _framed(panel: AnyPanel, title: str, about: str) -> AnyPanel:
    return panel.title(title).description(about).datasource(DATASOURCE)


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _query(number: int, expression: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().ref_id(_letter(number)).datasource(DATASOURCE)
    return query.expr(expression)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours from a value on."""
    made = [schema.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(schema.ThresholdsMode.ABSOLUTE).steps(made)


def _mappings(words: Words) -> list[schema.ValueMapping]:
    """Words and colours for values."""
    results = {
        value: schema.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(words.items())
    }
    special = results.pop(NOT_A_NUMBER, None)
    made: list[schema.ValueMapping] = []
    if results:
        made.append(schema.ValueMap(options=results))
    if special is not None:
        options = schema.DashboardSpecialValueMapOptions(schema.SpecialValueMatch.NA_N, special)
        made.append(schema.SpecialValueMap(options=options))
    return made


def _as_limit() -> list[schema.DynamicConfigValue]:
    return [
        schema.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
        schema.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        schema.DynamicConfigValue("custom.fillOpacity", 0),
    ]


def _of_column(column: Column) -> list[schema.DynamicConfigValue]:
    values = [schema.DynamicConfigValue("unit", column.unit)]
    if column.decimals is not None:
        values.append(schema.DynamicConfigValue("decimals", column.decimals))
    if column.words:
        values.append(schema.DynamicConfigValue("mappings", _mappings(column.words)))
    if column.steps is not NEUTRAL or column.words:
        values += [
            schema.DynamicConfigValue("color", {"mode": "thresholds"}),
            schema.DynamicConfigValue("thresholds", _thresholds(column.steps).build()),
            schema.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        ]
    return values

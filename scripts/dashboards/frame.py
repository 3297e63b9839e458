"""What all dashboards share: variables, links, annotations, the grid, and their JSON."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as schema

from scripts.dashboards.panels import DATASOURCE
from scripts.dashboards.promql import alerts, series

TAG = "tradeflow"
COLUMNS = 24  # of Grafana's grid
ROW_HEIGHT = 1
# No label, and so none that a variable could miss, where everything is chosen.
EVERYTHING = ".*"
EVENT_STEP = "1m"  # windows of the events are as long, so none falls between two points

Line = tuple[int, Sequence[tuple[int, schema.Panel]]]  # height, then panels with their widths


class Section(NamedTuple):
    """Lines of panels under a heading; the first section of a dashboard has none."""

    title: str
    lines: Sequence[Line]


class Choice(NamedTuple):
    """A variable: from which series its values come, by which label."""

    title: str
    selector: str
    label: str
    is_single: bool = False


# Two runs may have accounts of the same names, so one run is shown at a time.
CHOICES = {
    "run": Choice("Run", "tradeflow_exporter_ready", "run", is_single=True),
    "account": Choice("Account", series("te_equity"), "account"),
    "strategy": Choice("Strategy", series("strategy_signals_total"), "strategy"),
    "symbol": Choice("Symbol", series("te_rollup_staleness_seconds"), "symbol"),
    "stage": Choice("Stage", series("stage_lag_seconds"), "stage"),
    "job": Choice("Job", series("flink_jobmanager_job_numRestarts"), "job_name"),
}


class Event(NamedTuple):
    """What is marked in all panels: where the expression has a value above 0."""

    name: str
    colour: str
    expression: str
    title: str
    text: str
    tags: str


EVENTS = (
    Event(
        "Process starts",
        "blue",
        f"increase({series('tradeflow_process_starts_total')}[{EVENT_STEP}]) > 0",
        "{{process}} started",
        "The supervisor started {{process}} of {{run}}.",
        "process",
    ),
    Event(
        "Job restarts",
        "orange",
        f"increase({series('flink_jobmanager_job_numRestarts')}[{EVENT_STEP}]) > 0",
        "{{job_name}} restarted",
        "Flink restarted {{job_name}} from its last checkpoint.",
        "job_name",
    ),
    Event(
        "Alerts",
        "red",
        alerts(alertstate="firing"),
        "{{alertname}}",
        "{{severity}} {{account}} {{symbol}} {{job_name}} {{process}}",
        "alertname,severity",
    ),
)


def render(
    uid: str, title: str, about: str, choices: Sequence[str], sections: Sequence[Section]
) -> str:
    """A dashboard as Grafana reads it from a file, the same text each time."""
    made = schema.Dashboard(
        uid=uid,
        title=title,
        description=about,
        tags=[TAG],
        editable=False,
        graph_tooltip=schema.DashboardCursorSync.CROSSHAIR,
        time=schema.DashboardDashboardTime(from_val="now-3h", to="now"),
        refresh="15s",
        panels=_placed(sections),
        templating=schema.DashboardDashboardTemplating(_variables(choices)),
        annotations=schema.AnnotationContainer([_annotation(event) for event in EVENTS]),
        links=[_links()],
    )
    tree = json.loads(json.dumps(made, cls=JSONEncoder))
    for annotation, event in zip(tree["annotations"]["list"], EVENTS, strict=True):
        annotation.update(_beyond_the_schema(event))
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _placed(sections: Sequence[Section]) -> list[schema.Panel | schema.RowPanel]:
    """All panels with ids from 1 and places, line under line."""
    placed: list[schema.Panel | schema.RowPanel] = []
    y = 0
    for section in sections:
        if section.title:
            where = schema.GridPos(h=ROW_HEIGHT, w=COLUMNS, x=0, y=y)
            row = schema.RowPanel(title=section.title, id_val=len(placed) + 1, grid_pos=where)
            placed.append(row)
            y += ROW_HEIGHT
        for height, line in section.lines:
            x = 0
            for width, panel in line:
                panel.id_val = len(placed) + 1
                panel.grid_pos = schema.GridPos(h=height, w=width, x=x, y=y)
                placed.append(panel)
                x += width
            if x != COLUMNS:
                raise ValueError(f"a line of {section.title!r} is {x} wide, not {COLUMNS}")
            y += height
    return placed


def _variables(names: Sequence[str]) -> list[schema.VariableModel]:
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    usual = schema.VariableOption(selected=True, text="Prometheus", value="prometheus")
    return [source.current(usual).build(), *map(_variable, names)]


def _variable(name: str) -> schema.VariableModel:
    choice = CHOICES[name]
    query: dict[str, object] = {
        "qryType": 1,  # values of a label
        "query": f"label_values({choice.selector}, {choice.label})",
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    variable = dashboard.QueryVariable(name).label(choice.title).datasource(DATASOURCE)
    variable = variable.query(query).sort(schema.VariableSort.NATURAL_ASC)
    variable = variable.refresh(schema.VariableRefresh.ON_TIME_RANGE_CHANGED)
    if choice.is_single:
        return variable.build()
    all_of_them = schema.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = variable.multi(True).include_all(True).all_value(EVERYTHING)
    return variable.current(all_of_them).build()


def _annotation(event: Event) -> schema.AnnotationQuery:
    annotation = dashboard.AnnotationQuery().name(event.name).datasource(DATASOURCE).enable(True)
    return annotation.icon_color(event.colour).expr(event.expression).build()


def _beyond_the_schema(event: Event) -> dict[str, Any]:
    """What Prometheus' annotations have and the schema lacks; newer Grafanas read `target`."""
    return {
        "step": EVENT_STEP,
        "tagKeys": event.tags,
        "target": {"expr": event.expression, "interval": EVENT_STEP, "refId": "Anno"},
        "textFormat": event.text,
        "titleFormat": event.title,
    }


def _links() -> schema.DashboardLink:
    link = dashboard.DashboardLink("Dashboards").type(schema.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).include_vars(True).keep_time(True).build()

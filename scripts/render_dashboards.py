"""Write conf/grafana and docs/dashboards.md: `python -m scripts.render_dashboards`.

The same code gives the same bytes; a test holds the committed files against it.
"""

import json
from pathlib import Path

from scripts.dashboards import freshness, gate, jobs, risk, trading

ROOT = Path(__file__).resolve().parents[1]
DASHBOARDS = {
    "trading": trading.dashboard,
    "gate": gate.dashboard,
    "freshness": freshness.dashboard,
    "jobs": jobs.dashboard,
    "risk": risk.dashboard,
}

DATASOURCE = """\
# Rendered by `make dashboards`. The Prometheus that `tradeflow up --monitoring` starts, at its
# usual port; a stack's stack.json has the port that it got.
apiVersion: 1
datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    access: proxy
    url: http://127.0.0.1:9190
    isDefault: true
    jsonData:
      httpMethod: POST
      # Windows of rates are four times as long: with bars of a minute, shorter ones would be empty.
      timeInterval: 15s
"""

PROVIDER = """\
# Rendered by `make dashboards`. Grafana puts in the environment variable when it starts.
apiVersion: 1
providers:
  - name: tradeflow
    folder: tradeflow
    type: file
    allowUiUpdates: false   # they are rendered from code: save a changed one as a copy
    disableDeletion: true
    updateIntervalSeconds: 30
    options:
      path: $TRADEFLOW_DASHBOARDS
"""

PAGE = """\
# Dashboards

Rendered by `make dashboards` from `scripts/dashboards`, as are the files of `conf/grafana`; a test
keeps them equal. There are five, each a file that Grafana reads when it starts:
{contents}
Links lead from each to the others and keep run, account, symbol and time. One run is shown at a
time, as two may have accounts of the same names. Starts of processes, restarts of jobs and alerts
are marked in all courses; dashed red lines are limits. Those of risk come from the configuration,
by way of the metric `risk_threshold`. While the store is away there is a gap, not an old value.

## Into a Grafana

The schema is that of Grafana 11.6, which later ones read too. With a Grafana on this machine and
the stack's Prometheus on its usual port:

```sh
export TRADEFLOW_DASHBOARDS=$PWD/conf/grafana/dashboards
export GF_PATHS_PROVISIONING=$PWD/conf/grafana/provisioning
grafana server --homepath /usr/share/grafana
```

- Prometheus elsewhere: `url` in `conf/grafana/provisioning/datasources/prometheus.yaml`.
- A Grafana that is provisioned already: copy the two files under `conf/grafana/provisioning` into
  the same folders of its own, and set `TRADEFLOW_DASHBOARDS` in its environment.
- A Prometheus that it knows already: choose it at the top of a dashboard, under Data source.
- One dashboard by hand: Dashboards, New, Import takes a file of `conf/grafana/dashboards`.

## What was checked

Grafana's own SDK writes the files and reads them without loss. Promtool parses their expressions,
and a Prometheus answers them. **No Grafana server has displayed them.** What the SDK's schema
leaves open (transformations, overrides, texts of annotations) follows Grafana's sources.
{tables}"""


def dashboards() -> dict[str, str]:
    """The JSON of each dashboard, by the name of its file."""
    return {name: made() for name, made in DASHBOARDS.items()}


def page(made: dict[str, str]) -> str:
    """What each dashboard is for, and what question each panel answers."""
    contents, tables = "\n", ""
    for text in made.values():
        tree = json.loads(text)
        title = tree["title"]
        anchor = title.lower().replace(" ", "-")
        contents += f"- [{title}](#{anchor}): {_lowered(tree['description'])}\n"
        tables += f"\n## {title}\n\n| panel | what it answers |\n|---|---|\n"
        for panel in tree["panels"]:
            if panel["type"] == "row":
                tables += f"| **{panel['title']}** | |\n"
            else:
                tables += f"| {panel['title']} | {panel['description']} |\n"
    return PAGE.format(contents=contents, tables=tables)


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def render() -> dict[str, str]:
    """Every file, by its path in the project."""
    made = dashboards()
    return {
        **{f"conf/grafana/dashboards/{name}.json": text for name, text in made.items()},
        "conf/grafana/provisioning/datasources/prometheus.yaml": DATASOURCE,
        "conf/grafana/provisioning/dashboards/tradeflow.yaml": PROVIDER,
        "docs/dashboards.md": page(made),
    }


def main() -> None:
    """Write the files."""
    for name, text in render().items():
        file = ROOT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

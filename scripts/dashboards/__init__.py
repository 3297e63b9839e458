"""The Grafana dashboards, one module each, over panels of one kind of making."""

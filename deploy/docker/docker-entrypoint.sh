#!/usr/bin/env bash
# Runs what it is given, in its own place: `tradeflow ...`, `python -m jobs.exporter ...`, and what
# Kubernetes asks Flink for (`kubernetes-jobmanager.sh ...`, found in PATH).
set -euo pipefail
cd /opt/tradeflow
exec "$@"

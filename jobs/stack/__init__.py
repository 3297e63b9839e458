"""The local stack without Docker: a Fluss store, Flink, and a supervisor that keeps both alive.

jobs/stack/control.py has `up`, `submit` and `down`, jobs/stack/report.py has `status`.
"""

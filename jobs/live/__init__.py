"""The stages as live jobs: tables of a log store in, tables out, in the order of event time."""

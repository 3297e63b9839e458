"""Proof by destruction: processes of a live run killed and paused, then every table is read."""

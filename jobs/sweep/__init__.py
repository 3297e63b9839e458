"""Runs of many sets: cut into chunks, kept when interrupted, merged, ranked."""

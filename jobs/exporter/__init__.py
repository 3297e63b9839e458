"""The process that tells Prometheus how a live run fares, and writes risk alerts as rows."""

"""The `tradeflow` command."""

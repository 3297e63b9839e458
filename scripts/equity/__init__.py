"""What scripts/equity_metrics.py is made of: reading, exact daily sums, figures, tables to show."""

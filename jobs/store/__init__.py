"""A Fluss store from plain Python: its client, its tables, what is in them."""

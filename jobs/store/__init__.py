"""A store of tables from plain Python, Fluss or Kafka: its client, its tables, what is in them."""

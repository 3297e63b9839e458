"""The contracts: one value per table, and the configuration."""

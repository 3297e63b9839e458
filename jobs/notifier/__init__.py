"""The process that tells people of alerts: Alertmanager's webhook in, messages out by apprise."""

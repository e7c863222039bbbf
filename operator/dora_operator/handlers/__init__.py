"""Where kopf calls the operator: one handler per kind, the login, and the settings."""

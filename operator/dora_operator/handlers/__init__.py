"""kopf's handlers: one file for each kind that is watched."""

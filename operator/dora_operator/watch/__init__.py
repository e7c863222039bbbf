"""Watches: kopf per kind and namespace, supervised; the list of our own beside it; whether a kind is installed."""

"""Watches: one loop for each kind and namespace. It lists the objects, and lets kopf report what changes."""

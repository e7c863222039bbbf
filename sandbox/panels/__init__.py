"""A picture of the dashboard's main panels from a real run: `python -m sandbox.panels docs/images/dashboard.svg`.

A real API server, the operator as a process, the stand-in for Datadog, which fails for a while. Nothing is made up:
each point is a scrape of `/metrics`.
"""

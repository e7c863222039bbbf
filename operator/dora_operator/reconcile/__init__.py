"""One reconcile: gather, decide, act, write status once.

Joins the decisions of `domain` with the clients that act. Knows nothing of kopf.
"""

"""One reconcile: gather, decide, act, write status once.

Joins `domain` (decisions) and `ports` (acts). Knows nothing of kopf, queues or HTTP.
"""

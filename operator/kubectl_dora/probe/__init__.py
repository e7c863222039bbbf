"""`kubectl dora probe`: what the operator assumes about Datadog and no documentation says, and how to confirm it.

`table` lists the probes: an assumption, a request, and the predicate that an answer has to meet. `run` prints or sends
them.
"""

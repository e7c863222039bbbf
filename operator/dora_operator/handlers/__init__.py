"""Where kopf meets the operator: watching, logging in, probes, the process. The only user of kopf.

Handlers say "look at this key" and nothing else.
"""

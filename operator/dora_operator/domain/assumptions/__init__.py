"""What the operator assumes about Datadog and no documentation says, as probes: a request, what its answer decides.

`dora-operator probe` prints them, or sends them; see `tenant`. `probe` has the types, `requests` what is sent, `judges`
what an answer says, `table` all probes.
"""

"""`kubectl dora`: the users' tool, beside the operator and over its domain, clients and gathering.

`main` has the commands, `options` the flags that they share, `output` alone prints. `cluster` alone talks to the API
server, `datadog` alone to Datadog (`rows` runs it in the operator's pod), `planning` alone knows the operator's
planner. At start neither kopf, httpx nor the Kubernetes client is imported: each command imports what it needs.
"""

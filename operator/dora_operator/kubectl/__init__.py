"""`kubectl dora`: the users' tool. One module for each command; decisions are the operator's own code.

`main` is the Typer app. `options` and `errors` are shared by the commands, `output` is the only one that prints,
`cluster` is the only one that talks to the API server. At start neither kopf, httpx nor the Kubernetes client is
imported: each command imports what it needs.
"""

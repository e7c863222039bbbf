"""Where kopf meets the operator: the login and the process. The only user of kopf.

kopf imports the synchronous Kubernetes client where it is installed, to know its classes in what handlers hand over:
half a second and ten megabytes at every start, for nothing here.
"""

from dora_operator.lean import hidden

with hidden("kubernetes", "pykube"):
    import kopf  # noqa: F401 - the first import decides

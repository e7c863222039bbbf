"""The outside world, one module each: Datadog's API and the Kubernetes API. They act and decide nothing.

httpx imports its command line where click, rich and pygments are installed: a tenth of a second at every start.
"""

from dora_operator.lean import hidden

with hidden("click"):
    import httpx  # noqa: F401 - the first import decides

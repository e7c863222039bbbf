"""The outside world, one module each: Datadog's API and the Kubernetes API. They act and decide nothing.

httpx imports its command line where click, rich and pygments are installed: a tenth of a second at every start.
Its transport asks for sniffio several times in every request: a tenth of a reconcile, where it is not installed.
"""

from dora_operator.lean import hidden, never_looked_for_again

with hidden("click"):
    import httpx  # noqa: F401 - the first import decides

never_looked_for_again("sniffio")

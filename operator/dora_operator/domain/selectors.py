"""Label selectors that the API server accepts.

Source: Kubernetes, "Labels and Selectors". The patterns are understood by Python and by Go's regexp.
"""

_PREFIX = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"({_PREFIX}/)?{_NAME}"
_VALUE = rf"({_NAME})?"
_REQUIREMENT = (
    rf"\s*(!\s*{_KEY}|{_KEY}(\s*(==?|!=)\s*{_VALUE}|\s+(in|notin)\s*\(\s*{_VALUE}\s*(,\s*{_VALUE}\s*)*\))?)\s*"
)
SELECTOR = rf"^(\s*|{_REQUIREMENT}(,{_REQUIREMENT})*)$"

"""Label selectors: which ones the API server accepts, and which labels make an object match.

Source: Kubernetes, "Labels and Selectors". The patterns are understood by Python and by Go's regexp.
"""

import re

_PREFIX = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"({_PREFIX}/)?{_NAME}"
_VALUE = rf"({_NAME})?"
_EQUALITY = rf"\s*{_KEY}\s*==?\s*{_VALUE}\s*"
_REQUIREMENT = (
    rf"\s*(!\s*{_KEY}|{_KEY}(\s*(==?|!=)\s*{_VALUE}|\s+(in|notin)\s*\(\s*{_VALUE}\s*(,\s*{_VALUE}\s*)*\))?)\s*"
)
SELECTOR = rf"^(\s*|{_REQUIREMENT}(,{_REQUIREMENT})*)$"
"""A selector that the API server accepts."""
EQUALITIES = rf"^(\s*|{_EQUALITY}(,{_EQUALITY})*)$"
"""A selector of equalities alone: it says which labels an object needs."""


def labels_that_match(selector: str) -> dict[str, str] | None:
    """Return the labels that a selector of equalities requires, or None where it has anything else."""
    if re.fullmatch(EQUALITIES, selector) is None:
        return None
    pairs = [re.split(r"==?", part, maxsplit=1) for part in selector.split(",") if part.strip()]
    return {key.strip(): value.strip() for key, value in pairs}

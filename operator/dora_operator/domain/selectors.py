"""Label selectors, as far as the operator has to understand them: which labels make an object match.

Source: Kubernetes, "Labels and Selectors".
"""

import re

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"\s*({_NAME})\s*==?\s*({_VALUE})\s*")


def labels_that_match(selector: str) -> dict[str, str] | None:
    """Return the labels that a selector of equalities requires, or None where it has anything else."""
    labels: dict[str, str] = {}
    for part in selector.split(",") if selector.strip() else ():
        found = _EQUALITY.fullmatch(part)
        if found is None:
            return None
        labels[found[1]] = found[2]
    return labels

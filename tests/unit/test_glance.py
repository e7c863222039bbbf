"""A glance at a DoraDeployment: enough for an overview, and never an error, whatever stands in the object."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.glance import Glance, glance_of

BORN, SINCE = "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"
FAILURE = {"changeFailure": True}


def ready(status: str, reason: str) -> dict[str, Any]:
    """Return conditions."""
    return {"conditions": [{"type": "Stalled"}, {"type": "Ready", "status": status, "reason": reason}]}


def seen(generation: int, spec: dict[str, Any], **status: Any) -> Glance:
    """Take a glance at an object of this generation."""
    return glance_of({"generation": generation, "creationTimestamp": BORN}, spec, status)


def moment(text: str) -> datetime:
    """Return a time."""
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("glance", "expected"),
    [
        pytest.param(
            seen(1, FAILURE), Glance("Unknown", "Pending", True, moment(BORN), judged=False), id="never looked at"
        ),
        pytest.param(
            seen(1, {}, observedGeneration=1, desired=FAILURE, pendingSince=SINCE, **ready("False", "Forbidden")),
            Glance("False", "Forbidden", True, moment(SINCE)),
            id="wanted by a Rollout, refused",
        ),
        pytest.param(
            seen(2, FAILURE, observedGeneration=1, desired={"changeFailure": False}, pendingSince=SINCE),
            Glance("Unknown", "Pending", True, None, judged=False),
            id="edited a moment ago: what waited before is something else",
        ),
        pytest.param(
            seen(2, FAILURE, observedGeneration=2, desired=FAILURE, accepted=FAILURE, **ready("True", "Accepted")),
            Glance("True", "Accepted", False),
            id="accepted",
        ),
        pytest.param(
            seen(2, {}, observedGeneration=2, desired=FAILURE, accepted=FAILURE, **ready("False", "RateLimited")),
            Glance("False", "RateLimited", False),
            id="accepted, and its remediation is not",
        ),
        pytest.param(
            seen(1, FAILURE, observedGeneration=1, desired=FAILURE, **ready("False", "Suspended")),
            Glance("False", "Suspended", False),
            id="held back on purpose",
        ),
        pytest.param(
            seen(1, FAILURE | {"dryRun": True}),
            Glance("Unknown", "Pending", False, judged=False),
            id="to be held back on purpose",
        ),
        pytest.param(
            seen(1, {}, **ready("False", "NewerThanThisOperator")),
            Glance("False", "Other", False, judged=False),
            id="a strange reason",
        ),
    ],
)
def test_glances(glance: Glance, expected: Glance) -> None:
    """Each object shows what an overview needs."""
    assert glance == expected


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
words = st.sampled_from(["conditions", "desired", "accepted", "observedGeneration", "pendingSince"])


@given(st.dictionaries(words, json))
def test_rubbish_is_no_error(status: dict[str, Any]) -> None:
    """A status that nobody can understand has a glance all the same, with labels from a fixed set."""
    glance = seen(1, FAILURE, **status)
    assert glance.ready in {"True", "False", "Unknown"}

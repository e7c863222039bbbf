"""The summary of a DoraDeployment: enough for metrics, and never an error, whatever is in the object."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.status import Summary, summary_of
from tests.support.builders import deployment

CREATED = datetime(2026, 11, 23, 10, tzinfo=UTC)
SINCE = datetime(2026, 11, 23, 11, tzinfo=UTC)
PENDING = {"pendingSinceTime": "2026-11-23T11:00:00Z"}
FAILURE = {"changeFailure": True}
BEFORE = "2026-11-23T10:30:00Z"


def ready(status: str, reason: str) -> dict[str, Any]:
    """Return conditions."""
    other = {"observedGeneration": 1, "lastTransitionTime": BEFORE, "message": ""}
    stalled = {"type": "Stalled", "status": "False", "reason": reason} | other
    return {"conditions": [stalled, {"type": "Ready", "status": status, "reason": reason} | other]}


def summary(generation: int, spec: dict[str, Any], **status: Any) -> Summary:
    """Summarise an object of this generation."""
    return summary_of(deployment(spec, status, generation=generation))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(summary(1, FAILURE), Summary("Unknown", "Pending", True, CREATED), id="new"),
        pytest.param(
            summary(1, {}, observedGeneration=1, desired=FAILURE, **PENDING, **ready("False", "Forbidden")),
            Summary("False", "Forbidden", True, SINCE),
            id="wanted by a Rollout, refused",
        ),
        pytest.param(
            summary(2, FAILURE, observedGeneration=1, desired={"changeFailure": False}, **PENDING),
            Summary("Unknown", "Pending", True, None),
            id="just edited: what was pending before is something else",
        ),
        pytest.param(
            summary(2, FAILURE, observedGeneration=2, desired=FAILURE, accepted=FAILURE, **ready("True", "Accepted")),
            Summary("True", "Accepted", False),
            id="accepted",
        ),
        pytest.param(
            summary(2, {}, observedGeneration=2, desired=FAILURE, accepted=FAILURE, **ready("False", "RateLimited")),
            Summary("False", "RateLimited", False),
            id="accepted, and its remediation is not",
        ),
        pytest.param(
            summary(1, FAILURE, observedGeneration=1, desired=FAILURE, **ready("False", "Suspended")),
            Summary("False", "Suspended", False),
            id="held back on purpose",
        ),
        pytest.param(
            summary(1, FAILURE | {"dryRun": True}),
            Summary("Unknown", "Pending", False),
            id="to be held back on purpose",
        ),
        pytest.param(
            summary(1, {}, **ready("False", "NewerThanThisOperator")),
            Summary("False", "Other", False),
            id="a reason of another version",
        ),
        pytest.param(
            summary_of(deployment({"deployment": 7}, {})),
            Summary("Unknown", "Pending", False),
            id="a spec that cannot be understood",
        ),
    ],
)
def test_summaries(found: Summary, expected: Summary) -> None:
    """Each object shows what metrics need."""
    assert found == expected


@pytest.mark.parametrize(
    ("status", "is_due"),
    [
        pytest.param({}, True, id="not reconciled yet"),
        pytest.param(ready("False", "RateLimited"), True, id="not accepted"),
        pytest.param(ready("True", "Accepted"), False, id="accepted"),
        pytest.param(ready("False", "WaitingForRollout"), False, id="something else comes first"),
        pytest.param(ready("True", "Accepted") | {"observedGeneration": 1}, True, id="edited since"),
    ],
)
def test_what_is_due(status: dict[str, Any], *, is_due: bool) -> None:
    """Due is what Datadog may have to accept."""
    judged = {"observedGeneration": 2, "desired": FAILURE} if status else {}
    assert deployment(FAILURE, judged | status, generation=2).is_due is is_due


def verified(status: str, reason: str) -> dict[str, Any]:
    """Return the status of an accepted failure with this condition Verified."""
    other = {"observedGeneration": 1, "lastTransitionTime": BEFORE, "message": ""}
    condition = {"type": "Verified", "status": status, "reason": reason} | other
    accepted = {"accepted": FAILURE, "acceptedTime": BEFORE, "desired": FAILURE, "observedGeneration": 1}
    return accepted | {"conditions": [condition]}


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        pytest.param(verified("Unknown", "Pending"), True, id="not read yet"),
        pytest.param(verified("False", "NotApplied"), True, id="not applied"),
        pytest.param(verified("True", "ReadBack"), False, id="read back"),
        pytest.param(verified("Unknown", "Disabled"), False, id="not read back at all"),
        pytest.param(verified("False", "ChangedInDatadog"), False, id="was stored, and changed later"),
        pytest.param(verified("False", "RecoveryNegative"), False, id="stored, with a negative recovery time"),
        pytest.param(verified("Unknown", "Pending") | {"conditions": []}, True, id="no condition"),
        pytest.param(
            verified("Unknown", "Pending")
            | {"accepted": {"changeFailure": False}, "desired": {"changeFailure": False}},
            False,
            id="no failure",
        ),
        pytest.param(
            verified("Unknown", "Pending") | {"accepted": None, "desired": {"changeFailure": False}},
            False,
            id="nothing accepted",
        ),
    ],
)
def test_since_when_a_mark_is_not_verified(status: dict[str, Any], *, is_open: bool) -> None:
    """Since Datadog accepted it."""
    expected = datetime(2026, 11, 23, 10, 30, tzinfo=UTC) if is_open else None
    assert summary(1, {}, **status).unverified_since == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            summary(1, FAILURE, observedGeneration=1, desired=FAILURE),
            Summary("Unknown", "Pending", True, CREATED),
            id="judged without a time: since the creation",
        ),
        pytest.param(
            summary(2, FAILURE, observedGeneration=2, desired=FAILURE),
            Summary("Unknown", "Pending", True, None),
            id="edited, without a time: not known",
        ),
        pytest.param(
            summary(2, FAILURE, observedGeneration=2, desired=FAILURE, **PENDING),
            Summary("Unknown", "Pending", True, SINCE),
            id="edited, with a time",
        ),
        pytest.param(
            summary(1, FAILURE | {"suspend": True}),
            Summary("Unknown", "Pending", False),
            id="to be suspended",
        ),
        pytest.param(
            summary(2, FAILURE, observedGeneration=1, desired=FAILURE, **ready("False", "Suspended")),
            Summary("False", "Suspended", True, None),
            id="suspended before, and edited since",
        ),
        pytest.param(
            summary(1, {"changeFailure": False}),
            Summary("Unknown", "Pending", False),
            id="no failure is wanted",
        ),
    ],
)
def test_since_when_a_failure_is_not_reported(found: Summary, expected: Summary) -> None:
    """By the status where it is about the newest spec, else by the creation of an object that was never edited."""
    assert found == expected


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
words = st.sampled_from(["conditions", "desired", "accepted", "observedGeneration", "pendingSinceTime", "source"])


@given(st.dictionaries(words, json) | json, json)
def test_any_status_and_spec_have_a_summary(status: Any, spec: Any) -> None:
    """What cannot be understood is no error; labels come from a fixed set."""
    found = summary_of(deployment({"deployment": spec}, status))
    assert found.ready in {"True", "False", "Unknown"}

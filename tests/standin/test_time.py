"""What comes late: ingestion, marks and evaluation; the clock is the test's."""

from collections.abc import Callable

import pytest

from sandbox.datadog import UnknownDeployment
from tests.standin.clocked import OWN_ID, START, Datadog


def test_a_deployment_is_ingested_late() -> None:
    """Until the delay has passed neither GET nor the list shows what POST accepted."""
    datadog = Datadog(ingest_delay=5)
    assert datadog.post(0) == 200
    assert (datadog.attributes(4.9), datadog.listed(4.9)) == (None, [])
    assert datadog.attributes(5)["version"] == "1.5.0"
    assert datadog.listed(5) == [OWN_ID]


@pytest.mark.parametrize("patch", [Datadog.patch, Datadog.patch_by_version], ids=["by id", "by version"])
@pytest.mark.parametrize(
    ("unknown", "after", "status", "marked"),
    [
        pytest.param(UnknownDeployment.ACCEPT, 1, 202, None, id="too early: accepted and lost"),
        pytest.param(UnknownDeployment.NOT_FOUND, 1, 404, None, id="too early, where set so: not found"),
        pytest.param(UnknownDeployment.NOT_FOUND, 5, 202, True, id="after ingestion: applied"),
    ],
)
def test_a_mark_meets_late_ingestion(
    patch: Callable[[Datadog, float], int],
    unknown: UnknownDeployment,
    after: float,
    status: int,
    marked: bool | None,  # noqa: FBT001
) -> None:
    """A 202 does not prove that the deployment was there."""
    datadog = Datadog(ingest_delay=5, unknown_deployment=unknown)
    datadog.post(0)
    assert patch(datadog, after) == status
    assert datadog.attributes(9)["change_failure"] is marked


@pytest.mark.parametrize(
    ("unknown", "marked"),
    [
        pytest.param(UnknownDeployment.ACCEPT, True, id="accepted: the deployment is there when the mark is applied"),
        pytest.param(UnknownDeployment.NOT_FOUND, None, id="not found: the mark was never taken in"),
    ],
)
def test_a_mark_sent_before_ingestion(unknown: UnknownDeployment, marked: bool | None) -> None:  # noqa: FBT001
    """A mark is applied where the deployment is there in time, but never one that was answered 404."""
    datadog = Datadog(ingest_delay=5, patch_delay=10, unknown_deployment=unknown)
    datadog.post(0)
    datadog.patch(1)
    assert datadog.attributes(20)["change_failure"] is marked


def test_marks_are_applied_late_and_in_order() -> None:
    """An accepted mark can be seen after its delay; the one sent last wins."""
    datadog = Datadog(patch_delay=3)
    datadog.post(0)
    datadog.patch(1, change_failure=True)
    datadog.patch(2, change_failure=False)
    assert [datadog.attributes(after)["change_failure"] for after in (3.9, 4, 5)] == [None, True, False]


def test_change_failure_has_three_states() -> None:
    """It is null until the evaluation, false then, true when marked; and an evaluation undoes no mark."""
    datadog = Datadog(ingest_delay=1, evaluation_delay=10)
    datadog.post(0)
    assert [datadog.attributes(after)["change_failure"] for after in (1, 10.9, 11)] == [None, None, False]
    datadog.patch(12)
    assert datadog.attributes(12)["change_failure"] is True
    datadog.post(13)
    assert datadog.attributes(30)["change_failure"] is True


@pytest.mark.parametrize(
    ("remediation", "finished", "expected"),
    [
        pytest.param({"id": "checkout-restored", "type": "rollback"}, 90, 90, id="by id"),
        pytest.param({"version": "1.4.0", "type": "rollback"}, 90, 90, id="by version"),
        pytest.param({"version": "1.4.0", "type": "rollback"}, -90, -90, id="finished before the failure: negative"),
        pytest.param({"id": "never-sent-at-all", "type": "rollback"}, 90, None, id="never sent: no recovery"),
    ],
)
def test_recovery_time(remediation: dict[str, str], finished: int, expected: int | None) -> None:
    """Recovery lasts from the end of the failed deployment to the end of the remediation."""
    datadog = Datadog()
    datadog.post(0)
    datadog.post(0, id="checkout-restored", version="1.4.0", finished_at=int(START) + finished)
    datadog.patch(1, remediation=remediation)
    shown = datadog.attributes(2)
    assert shown["remediation"]["type"] == "rollback"
    assert shown.get("recovery_time_sec") == expected
    datadog.patch(3, change_failure=False)
    assert not {"remediation", "recovery_time_sec"} & datadog.attributes(4).keys()


@pytest.mark.parametrize(
    ("started", "shown"),
    [
        pytest.param(1_790_000_000, "2026-09-21T14:13:20Z", id="seconds"),
        pytest.param(1_790_000_000_250, "2026-09-21T14:13:20.250Z", id="milliseconds"),
        pytest.param(1_790_000_000_000_000_000, "2026-09-21T14:13:20Z", id="nanoseconds"),
    ],
)
def test_numbers_in_text_out(started: int, shown: str) -> None:
    """POST takes three units; answers have RFC 3339."""
    datadog = Datadog()
    datadog.post(0, started_at=started)
    assert datadog.attributes(0)["started_at"] == shown

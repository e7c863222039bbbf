"""Whole values of a read: what Datadog returned, what it means, and the message that the condition shows."""

from datetime import timedelta
from typing import Any

import pytest

from dora_operator.domain.fields import RemediationLink
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.read_back import Read, Verification, evaluate
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionStatus, DoraDeploymentStatus, MarkState, ReadBack
from dora_operator.domain.stored import ReadProblem, StoredDeployment, parse_answer, parse_deployments
from tests.support.builders import (
    NOW,
    TARGET,
    UNAVAILABLE,
    after,
    link,
    read_status,
    stored,
)

OLD = ReadBack(time=NOW, id="deployment-one", source="ci")
LINKED = MarkState(change_failure=True, remediation=link(version="1"))


def verified(
    *deployments: StoredDeployment, before: DoraDeploymentStatus | None = None, number: int = 1
) -> Verification:
    """Return the condition after a read."""
    return evaluate(deployments, TARGET, before or read_status(), Read(number, after(60), created=NOW)).verification


UNKNOWN, FALSE, TRUE = ConditionStatus.UNKNOWN, ConditionStatus.FALSE, ConditionStatus.TRUE
MISSING_WORDS = (
    "Datadog accepted the request and has no such deployment: check service, env and version, or that deployments are"
    " sent to Datadog; onMissing: Create posts the missing event"
)
ROLLED_BACK = {"remediation_type": "rollback", "remediation_id": "deployment-two"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            verified(stored()), Verification(TRUE, Reason.READ_BACK, "Datadog stored exactly this state"), id="stored"
        ),
        pytest.param(verified(), Verification(FALSE, Reason.DEPLOYMENT_MISSING, MISSING_WORDS), id="missing"),
        pytest.param(
            verified(stored("deployment-one"), stored("deployment-two")),
            Verification(
                UNKNOWN,
                Reason.AMBIGUOUS,
                "several deployments have this service, env and version; none can be singled out",
            ),
            id="two of one version",
        ),
        pytest.param(
            verified(stored(has_mark=False)),
            Verification(
                UNKNOWN,
                Reason.FIELDS_NOT_RETURNED,
                "Datadog's answer has no field change_failure; nothing is concluded from that",
            ),
            id="no field",
        ),
        pytest.param(
            verified(stored(change_failure=None)),
            Verification(UNKNOWN, Reason.NOT_EVALUATED, "Datadog has not evaluated the deployment yet"),
            id="not evaluated",
        ),
        pytest.param(
            verified(stored(change_failure=False)),
            Verification(FALSE, Reason.NOT_APPLIED, "Datadog stored something else: change_failure is false"),
            id="not applied",
        ),
        pytest.param(
            verified(stored(change_failure=False), before=read_status(accepted=LINKED)),
            Verification(
                FALSE,
                Reason.NOT_APPLIED,
                "Datadog stored something else: change_failure is false; remediation is absent",
            ),
            id="neither the mark nor its link",
        ),
        pytest.param(
            verified(stored(change_failure=False), before=read_status(Reason.READ_BACK)),
            Verification(
                FALSE,
                Reason.CHANGED_IN_DATADOG,
                "a user, or Datadog's own detection, changed it later: change_failure is false; nothing is sent",
            ),
            id="changed later",
        ),
        pytest.param(
            verified(
                stored(**ROLLED_BACK),
                stored("deployment-two", version="3"),
                before=read_status(accepted=LINKED),
            ),
            Verification(FALSE, Reason.NOT_APPLIED, "Datadog stored something else: remediation is version 3"),
            id="linked to another version",
        ),
        pytest.param(
            verified(
                stored(**ROLLED_BACK),
                before=read_status(accepted=MarkState(change_failure=True, remediation=link(id="deployment-three"))),
            ),
            Verification(FALSE, Reason.NOT_APPLIED, "Datadog stored something else: remediation is deployment-two"),
            id="linked to another id",
        ),
        pytest.param(
            verified(
                stored(recovery_time_seconds=60.0, **ROLLED_BACK),
                stored("deployment-two", version="9"),
                before=read_status(
                    accepted=MarkState(change_failure=True, remediation=link(id="deployment-two", version="1"))
                ),
            ),
            Verification(TRUE, Reason.READ_BACK, "Datadog stored exactly this state"),
            id="linked by an id that was read: the version does not matter",
        ),
        pytest.param(
            verified(stored(recovery_time_seconds=-90.0, **ROLLED_BACK), before=read_status(accepted=LINKED)),
            Verification(
                FALSE,
                Reason.RECOVERY_NEGATIVE,
                "the linked deployment finished 90 s before the failed one: link another remediation, or none",
            ),
            id="a negative recovery time",
        ),
        pytest.param(
            verified(stored(**ROLLED_BACK), before=read_status(accepted=LINKED)),
            Verification(
                FALSE,
                Reason.RECOVERY_MISSING,
                "Datadog shows no recovery time for the link: does the linked deployment exist?",
            ),
            id="no recovery time",
        ),
        pytest.param(
            verified(stored(recovery_time_seconds=60.0, **ROLLED_BACK)),
            Verification(
                FALSE,
                Reason.REMEDIATION_BY_DATADOG,
                "Datadog has linked the rollback deployment-two by its own rules, which no one asked for: the recovery"
                " time is Datadog's own",
            ),
            id="a link that nobody asked for",
        ),
        pytest.param(
            verified(stored(recovery_time_seconds=60.0, **ROLLED_BACK), before=read_status(accepted=LINKED)),
            Verification(UNKNOWN, Reason.AMBIGUOUS, "the linked deployment is not among those that were read"),
            id="a link by version whose deployment was not read",
        ),
    ],
)
def test_what_verified_says(found: Verification, expected: Verification) -> None:
    """Status, reason and message."""
    assert found == expected


def test_everything_that_datadog_returned_is_shown() -> None:
    """With the time of the read in whole seconds."""
    deployment = stored(source="ci", recovery_time_seconds=89.6, **ROLLED_BACK)
    finding = evaluate(
        (deployment,), TARGET, read_status(accepted=LINKED), Read(1, NOW + timedelta(microseconds=5), NOW)
    )
    assert finding.read_back == ReadBack(
        time=NOW,
        id="deployment-one",
        source="ci",
        change_failure=True,
        remediation=RemediationLink(type="rollback", id="deployment-two"),
        recovery_time_seconds=90,
        finished_time=NOW,
    )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((), id="missing"),
        pytest.param((stored("deployment-one"), stored("deployment-two")), id="ambiguous"),
        pytest.param(UNAVAILABLE, id="not read"),
    ],
)
def test_what_was_read_before_stays_visible(answer: Any) -> None:
    """The last good state is not removed by a read that shows nothing."""
    assert evaluate(answer, TARGET, read_status(read_back=OLD), Read(1, NOW, NOW)).read_back == OLD


@pytest.mark.parametrize(
    ("number", "before", "resend"),
    [
        pytest.param(1, None, False, id="the first read is too early"),
        pytest.param(2, None, True, id="the second"),
        pytest.param(4, None, True, id="the fourth"),
        pytest.param(5, None, False, id="the fifth does not send again"),
        pytest.param(5, Reason.DEPLOYMENT_MISSING, True, id="it was missing, and is there now"),
        pytest.param(1, Reason.DEPLOYMENT_MISSING, False, id="missing before, at the first read"),
        pytest.param(2, Reason.DEPLOYMENT_MISSING, True, id="missing before, at the second read"),
    ],
)
def test_at_which_reads_a_mark_is_sent_again(number: int, before: Reason | None, *, resend: bool) -> None:
    """A mark that was not applied."""
    status = read_status(before)
    found = evaluate((stored(change_failure=False),), TARGET, status, Read(number, NOW, NOW))
    assert found.resend is resend


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(NoAnswer(FailureKind.TIMEOUT, "5 s"), "Datadog could not be read: 5 s", id="no answer"),
        pytest.param(Answer(503, {}, b'{"errors":["down"]}'), "Datadog could not be read (503): down", id="an error"),
        pytest.param(
            Answer(200, {}, b"[]"), "Datadog could not be read (200): the answer has no deployments", id="no object"
        ),
        pytest.param(
            Answer(403, {}, b""),
            "Datadog does not let these keys read deployments (403): give the application key's owner, and its scopes,"
            " dora_metrics_read. Marks are not affected",
            id="no permission",
        ),
    ],
)
def test_why_nothing_was_read(answer: Answer | NoAnswer, message: str) -> None:
    """The message has the answer and the fix."""
    found = parse_answer(answer)
    assert isinstance(found, ReadProblem)
    assert found.message == message


def test_all_fields_of_a_stored_deployment() -> None:
    """As Datadog's reference names them."""
    attributes = {
        "service": "checkout",
        "env": "prod",
        "version": "2",
        "started_at": "2026-11-23T11:00:00Z",
        "finished_at": "2026-11-23T12:00:00Z",
        "source": "ci\nsource",
        "change_failure": True,
        "remediation": {"type": "rollback", "id": "deployment-two"},
        "recovery_time_sec": 90,
    }
    (found,) = parse_deployments([{"id": "deployment-one", "attributes": attributes}, {"id": "x"}])
    assert found == stored(started_at=after(-3600), source="ci source", recovery_time_seconds=90.0, **ROLLED_BACK)

"""Every `reason` that a condition of the operator can have.

These strings are API: users alert on them and wait for them. A description may become clearer, a name never changes.
`docs/reference/reasons.md` is checked against this file.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition has its status. The description of each member is shown in the reference."""

    ACCEPTED = "Accepted"
    """Datadog answered 202 for exactly the desired state."""
    SUSPENDED = "Suspended"
    """`spec.suspend` is true: nothing is sent."""
    DRY_RUN = "DryRun"
    """`spec.dryRun`, or the operator's own setting, is on: nothing is sent; `status.dryRun` shows the request."""
    INVALID_SPEC = "InvalidSpec"
    """The spec passed the API server and still cannot be understood; the CRD is probably older than the operator."""
    CONFLICT = "Conflict"
    """An older DoraDeployment wants the opposite for the same Datadog deployment; the older one wins."""
    NOT_ALLOWED = "NotAllowed"
    """This namespace may not mark this service or environment with the operator's own keys."""
    WAITING_FOR_ROLLOUT = "WaitingForRollout"
    """The Rollout of `spec.sourceRef` has not decided anything about this version. Not an error."""
    WAITING_FOR_REMEDIATION = "WaitingForRemediation"
    """The DoraDeployment of `spec.remediation.doraDeploymentRef` does not exist yet."""
    REMEDIATION_MISMATCH = "RemediationMismatch"
    """The DoraDeployment of `spec.remediation.doraDeploymentRef` cannot be the remediation of this one."""
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    """The Secret of `spec.credentialsSecretRef` does not exist, or the operator has no keys of its own."""
    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The Secret lacks `api-key` or `app-key`, or has a value that cannot be an HTTP header."""
    CREDENTIALS_NOT_READABLE = "CredentialsNotReadable"
    """The operator may not read the Secret: the chart's `credentials.fromNamespaces` does not name its namespace."""
    UNAUTHORIZED = "Unauthorized"
    """Datadog answered 401: it does not know the keys on this site."""
    FORBIDDEN = "Forbidden"
    """Datadog answered 403: the application key lacks the permission `dora_metrics_write`."""
    RATE_LIMITED = "RateLimited"
    """Datadog answered 429; the account waits for `X-RateLimit-Reset`."""
    DATADOG_UNAVAILABLE = "DatadogUnavailable"
    """Datadog answered 408 or 5xx; tried again with growing delays, without end."""
    DATADOG_UNREACHABLE = "DatadogUnreachable"
    """No connection, a broken one or an answer cut short; tried again with growing delays, without end."""
    DATADOG_TIMEOUT = "DatadogTimeout"
    """No answer in time; tried again with growing delays, without end."""
    UNEXPECTED_ANSWER = "UnexpectedAnswer"
    """An answer that Datadog's API does not have, such as a proxy's login page; tried again."""
    REQUEST_REJECTED = "RequestRejected"
    """Datadog refused the request itself (400, 422 and similar); only a change of the spec can help."""
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
    """Datadog answered 404: it may not have ingested the deployment yet. Tried often at first, then slowly."""
    SPEC_WINS = "SpecWins"
    """On Overridden: the spec says something else than the Rollout, and wins."""
    FOLLOWS_ROLLOUT = "FollowsRollout"
    """On Overridden: what the spec says does not contradict the Rollout."""
    READ_BACK = "ReadBack"
    """On Verified: Datadog returned exactly the accepted state."""
    PENDING = "Pending"
    """On Verified: not read back yet."""
    DEPLOYMENT_MISSING = "DeploymentMissing"
    """Datadog's list has no such deployment, though the request was accepted, or only later ones. See `onMissing`."""
    NOT_APPLIED = "NotApplied"
    """Datadog has the deployment, and stored something else; the state is sent again."""
    CHANGED_IN_DATADOG = "ChangedInDatadog"
    """On Verified: the state was stored and has been changed in Datadog since; nothing is sent."""
    RECOVERY_NEGATIVE = "RecoveryNegative"
    """On Verified: the linked deployment finished before the failed one, so the link is not sent, or is wrong."""
    REMEDIATION_BY_DATADOG = "RemediationByDatadog"
    """On Verified: the mark is as wanted, and Datadog's own rules have linked a remediation that was not asked for."""
    RECOVERY_MISSING = "RecoveryMissing"
    """On Verified: the mark and the link are as wanted, and Datadog shows no recovery time."""
    NOT_EVALUATED = "NotEvaluated"
    """On Verified: Datadog has not evaluated the deployment yet."""
    AMBIGUOUS = "Ambiguous"
    """Several deployments have this service, env and version, and none can be singled out. A late mark is not sent."""
    READ_FORBIDDEN = "ReadForbidden"
    """On Verified: the application key lacks the permission `dora_metrics_read`. Marks are not affected."""
    FIELDS_NOT_RETURNED = "FieldsNotReturned"
    """On Verified: Datadog's answer has no mark; nothing is concluded from that."""
    READ_UNAVAILABLE = "ReadUnavailable"
    """On Verified: Datadog could not be read; tried again on the schedule."""
    DISABLED = "Disabled"
    """On Verified: reading back is switched off."""


CREDENTIAL_REASONS = frozenset(
    {
        Reason.CREDENTIALS_NOT_FOUND,
        Reason.CREDENTIALS_INVALID,
        Reason.CREDENTIALS_NOT_READABLE,
        Reason.UNAUTHORIZED,
        Reason.FORBIDDEN,
    }
)
"""Reasons that a changed Secret can fix."""


INGESTION_REASONS = frozenset({Reason.DEPLOYMENT_NOT_FOUND, Reason.DEPLOYMENT_MISSING, Reason.AMBIGUOUS})
"""Reasons of Ready that a deployment which Datadog ingests later can end."""


ON_PURPOSE = frozenset({Reason.SUSPENDED, Reason.DRY_RUN})
WAITING = ON_PURPOSE | {Reason.WAITING_FOR_ROLLOUT, Reason.WAITING_FOR_REMEDIATION}
"""Reasons why nothing is due: something else has to happen first."""

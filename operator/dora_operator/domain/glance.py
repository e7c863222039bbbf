"""A glance at a DoraDeployment: the little that an overview of ten thousand needs, taken once when it is seen.

Reads the raw object, because it is taken of each version that arrives; what is malformed counts as absent. Decides
nothing about what is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.reasons import Reason

UNSEEN = "Pending"
"""Shown as reason where no condition has been written yet."""
HELD = frozenset(
    {
        Reason.SUSPENDED.value,
        Reason.DRY_RUN.value,
        Reason.WAITING_FOR_ROLLOUT.value,
        Reason.WAITING_FOR_REMEDIATION.value,
    }
)
"""Reasons that nobody has to hurry for: something or somebody else comes first."""
ON_PURPOSE = frozenset({Reason.SUSPENDED.value, Reason.DRY_RUN.value})
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class Glance:
    """How one DoraDeployment stands."""

    ready: str
    """Status of Ready: True, False or Unknown."""
    reason: str
    """Reason of Ready: a `Reason`, or `Pending`, or `Other`."""
    unreported: bool
    """Whether a change failure is wanted that Datadog has not accepted, and nobody holds it back on purpose."""
    unreported_since: datetime | None = None
    """Since when; None where that is not known yet."""
    judged: bool = True
    """Whether the status speaks of the newest spec."""

    @property
    def hurries(self) -> bool:
        """Tell whether something may be wanted of Datadog that it has not accepted."""
        return not self.judged or (self.ready != "True" and self.reason not in HELD)


def glance_of(metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Glance:
    """Return how an object stands that was just read."""
    ready, reason = _ready(status)
    judged = status.get("observedGeneration") == metadata.get("generation") and "desired" in status
    wanted = _failure(status, "desired") if judged else bool(spec.get("changeFailure"))
    held = reason in ON_PURPOSE if judged else bool(spec.get("suspend") or spec.get("dryRun"))
    if not wanted or held or _failure(status, "accepted"):
        return Glance(ready, reason, unreported=False, judged=judged)
    since = _moment(status.get("pendingSince")) if judged else None
    if since is None and metadata.get("generation") == 1:
        since = _moment(metadata.get("creationTimestamp"))
    return Glance(ready, reason, unreported=True, unreported_since=since, judged=judged)


def _ready(status: Mapping[str, Any]) -> tuple[str, str]:
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if _member(condition, "type") == "Ready":
            ready, reason = _member(condition, "status"), _member(condition, "reason")
            return ready if ready in {"True", "False"} else "Unknown", reason if reason in _REASONS else "Other"
    return "Unknown", UNSEEN


def _failure(status: Mapping[str, Any], name: str) -> bool:
    return _member(status.get(name), "changeFailure") is True


def _member(value: object, name: str) -> Any:  # noqa: ANN401 - raw JSON
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, str | bool) else None


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

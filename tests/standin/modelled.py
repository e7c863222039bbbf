"""The model at times of the test's choosing, and short ways to describe deployments."""

from typing import Any

from sandbox.datadog.behaviour import Behaviour
from sandbox.datadog.model import Model
from sandbox.datadog.values import Event, Git, Mark, Remediation

START = 1_800_000_000.0
KEY = ("checkout", "prod", "2")
FAILED = Mark(change_failure=True)


def model(**behaviour: Any) -> Model:
    """Return a model that behaves like this."""
    return Model(Behaviour(**behaviour))


def event(version: str | None, finished: float = 0, *, commit: str | None = None, **more: Any) -> Event:
    """Return a deployment that took a minute and finished so many seconds after the start."""
    times = {"started_at": START + finished - 60, "finished_at": START + finished}
    git = commit and Git(commit, "https://example.com/shop")
    return Event(**({"service": "checkout", "env": "prod", "version": version, "git": git or None} | times | more))


def rolled_back(**link: Any) -> Mark:
    """Return the mark of a failure that a rollback repaired."""
    return Mark(change_failure=True, remediation=Remediation(**({"type": "rollback"} | link)))


def failures(given: Model, now: float = START + 1e9) -> dict[str, str | None]:
    """Return the ids of all change failures and of what each is linked to."""
    return {one.id: one.remediation.id if one.remediation else None for one in given.visible(now) if one.shown_failure}

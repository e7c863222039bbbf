"""`restoredDeployment: Record`: posts the return to the stable version after an abort as a deployment of its own.

Takes one step at a time, and says what to write down and when to come again: the time of the return first, the post
when Datadog has accepted the mark, the link when it has accepted the post. A repeated post is the same to the byte.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.domain.allowed import Allowed, allowed_in, why_not
from dora_operator.domain.answer_text import shorten
from dora_operator.domain.backoff import RetryPolicy, next_pause
from dora_operator.domain.notices import WARNINGS, EventNote
from dora_operator.domain.outcome import Accepted, Answer, Outcome, Pace, Rejected, TryAgain, classify_event
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.restored import Back, OnTheWay, Restoration, linked, step_back
from dora_operator.domain.rollout.verdict import Policy, Verdict
from dora_operator.domain.sites import Site
from dora_operator.ports import DatadogPort, Keys, NoKeys
from dora_operator.reconcile.accounts import Account, Accounts, Payer
from dora_operator.reconcile.known_rollouts import Progress
from dora_operator.reconcile.namespaces import Namespaces

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
LONGEST_LOOK_SECONDS = 60.0
"""How often it is looked whether the stable version is whole again, or the mark accepted; pauses grow between these."""
NO_ROOM_SECONDS = 2.0
"""How long to wait for an account whose answers under way will tell when it has room."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a step leaves to do."""

    write: Verdict | None = None
    again_at: datetime | None = None
    note: EventNote | None = None


@dataclass(frozen=True, slots=True)
class Restorer:
    """Posts to the operator's own account, as automatic marks go there."""

    datadog: DatadogPort
    accounts: Accounts
    namespaces: Namespaces
    allowed: Allowed
    site: Site
    own_keys: Keys | NoKeys
    clock: Callable[[], datetime]
    random: Callable[[], float]
    retry_policy: RetryPolicy
    dry_run: bool

    async def step(self, observation: Observation, verdict: Verdict, policy: Policy, progress: Progress) -> Restored:
        """Take the next step on the way from an abort to its link.

        Raises:
            ClusterUnavailableError: the Namespace could not be read; nothing was posted.
        """
        now = self.clock()
        if progress.not_before is not None and now < progress.not_before:
            return Restored(again_at=progress.not_before)
        if self.dry_run or isinstance(self.own_keys, NoKeys):
            return Restored()
        match step_back(observation, verdict, policy, now):
            case Back(verdict=found):
                progress.looks = 0
                return Restored(found, now)
            case Restoration() as event if progress.marked:
                return await self._posted(observation, verdict, event, self.own_keys, progress)
            case OnTheWay() | Restoration():
                return Restored(again_at=_next_look(progress, now))
            case None:
                return Restored()

    async def _posted(
        self, observation: Observation, verdict: Verdict, event: Restoration, keys: Keys, progress: Progress
    ) -> Restored:
        if progress.accepted:
            return Restored(linked(verdict, event))
        allowed = allowed_in(await self.namespaces.annotations(observation.namespace), self.allowed)
        if why_not(allowed, observation.namespace, event.service, event.env) is not None:
            # The abort's own DoraDeployment says so. Namespaces are not watched: one that allows more is noticed here.
            return Restored(again_at=self.clock() + timedelta(seconds=LONGEST_LOOK_SECONDS))
        account = self.accounts.payer(Account(self.site.value, None))
        outcome = await self._post(event, account, keys)
        if outcome is None:
            opens_at = self.accounts.admission(account, self.clock()).opens_at
            return Restored(again_at=opens_at or self.clock() + timedelta(seconds=NO_ROOM_SECONDS))
        if isinstance(outcome, Accepted):
            progress.accepted = True
            return Restored(linked(verdict, event))
        progress.posts += 1
        until = self.clock() + timedelta(seconds=self._pause(outcome, verdict, progress))
        if isinstance(outcome, TryAgain) and outcome.pace is Pace.AT_RESET:
            self.accounts.close(account, until, self.clock())
        progress.not_before = until
        return Restored(again_at=until, note=_note(observation, event, outcome, progress))

    def _pause(self, outcome: TryAgain | Rejected, verdict: Verdict, progress: Progress) -> float:
        """A refusal is final for a mark, whose resource a user can edit; here only the operator's settings can help."""
        if isinstance(outcome, Rejected):
            return self.retry_policy.after_deadline
        owed_for = self.clock() - (verdict.restored_at or self.clock())
        return next_pause(
            outcome, attempts=progress.posts, pending_for=owed_for, policy=self.retry_policy, jitter=self.random()
        ).seconds

    async def _post(self, event: Restoration, account: Account | Payer, keys: Keys) -> Outcome | None:
        """Post within the account's budget, which marks need too; None where it has no room now."""
        if not await self.accounts.enter(account, self.clock):
            return None
        headers: Mapping[str, str] = {}
        try:
            reply = await self.datadog.post_deployment(event, self.site, keys)
            headers = reply.headers if isinstance(reply, Answer) else {}
        finally:
            self.accounts.end(account, headers, self.clock())
        return classify_event(reply, self.clock())


def _next_look(progress: Progress, now: datetime) -> datetime:
    pause = min(LONGEST_LOOK_SECONDS, LOOK_SECONDS * 2.0 ** min(progress.looks, 10))
    progress.looks += 1
    return now + timedelta(seconds=pause)


def _note(
    observation: Observation, event: Restoration, outcome: TryAgain | Rejected, progress: Progress
) -> EventNote | None:
    """Log a failure, and return the Event that it deserves: what somebody has to mend, once."""
    message = f"the return to version {event.version} is not posted yet: {outcome.message}"
    logger.warning("Rollout %s/%s: %s", observation.namespace, observation.name, message)
    is_news = outcome.reason in WARNINGS and outcome.reason.value != progress.told
    progress.told = outcome.reason.value
    return EventNote("Warning", outcome.reason.value, shorten(message, 1024), event.deployment_id) if is_news else None

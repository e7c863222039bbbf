"""`restoredDeployment: Record`: posts the return to the stable version after an abort as a deployment of its own.

The link to it is sent only after Datadog has accepted the event. A repeated post has the same id.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.domain.allowed import Allowed, allowed_in, why_not
from dora_operator.domain.backoff import RetryPolicy, next_pause
from dora_operator.domain.outcome import Accepted, Answer, Outcome, Pace, TryAgain, classify_event
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.restored import Restoration, linked, restoration
from dora_operator.domain.rollout.verdict import Policy, Verdict
from dora_operator.domain.sites import Site
from dora_operator.ports import DatadogPort, Keys, NoKeys
from dora_operator.reconcile.accounts import Account, Accounts
from dora_operator.reconcile.namespaces import Namespaces

logger = logging.getLogger(__name__)


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
    dry_run: bool

    async def restore(self, observation: Observation, verdict: Verdict, policy: Policy) -> Verdict | None:
        """Return the verdict with its link, or None while there is nothing to link; the caller tries again."""
        event = restoration(observation, verdict, policy, self.clock())
        if event is None or self.dry_run or isinstance(self.own_keys, NoKeys):
            return None
        allowed = allowed_in(await self.namespaces.annotations(observation.namespace), self.allowed)
        if why_not(allowed, observation.namespace, event.service, event.env) is not None:
            return None  # the abort's own DoraDeployment says so
        outcome = await self._post(event, self.own_keys)
        if outcome is None:
            return None
        if isinstance(outcome, Accepted):
            return linked(verdict, event)
        logger.warning(
            "Rollout %s/%s: the restored deployment was not posted: %s",
            observation.namespace,
            observation.name,
            outcome.message,
        )
        return None

    async def _post(self, event: Restoration, keys: Keys) -> Outcome | None:
        """Post within the account's budget, which marks need too; None where it has no room now."""
        account = self.accounts.payer(Account(self.site.value, None))
        if not await self.accounts.enter(account, self.clock):
            return None
        headers: Mapping[str, str] = {}
        try:
            reply = await self.datadog.post_deployment(event, self.site, keys)
            headers = reply.headers if isinstance(reply, Answer) else {}
        finally:
            self.accounts.end(account, headers, self.clock())
        outcome = classify_event(reply, self.clock())
        if isinstance(outcome, TryAgain) and outcome.pace is Pace.AT_RESET:
            pause = next_pause(outcome, attempts=1, pending_for=timedelta(), policy=RetryPolicy(), jitter=0.5)
            self.accounts.close(account, self.clock() + timedelta(seconds=pause.seconds), self.clock())
        return outcome

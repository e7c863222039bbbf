"""`restoredDeployment: Record`: posts the return to the stable version after an abort as a deployment of its own.

The link to it is sent only after Datadog has accepted the event. A repeated post has the same id.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.outcome import Accepted, classify_event
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.restored import linked, restoration
from dora_operator.domain.rollout.verdict import Policy, Verdict
from dora_operator.domain.sites import Site
from dora_operator.ports import DatadogPort, Keys, NoKeys

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restorer:
    """Posts to the operator's own account, as automatic marks go there."""

    datadog: DatadogPort
    site: Site
    own_keys: Keys | NoKeys
    clock: Callable[[], datetime]
    dry_run: bool

    async def restore(self, observation: Observation, verdict: Verdict, policy: Policy) -> Verdict | None:
        """Return the verdict with its link, or None while there is nothing to link; the caller tries again."""
        event = restoration(observation, verdict, policy, self.clock())
        if event is None or self.dry_run or isinstance(self.own_keys, NoKeys):
            return None
        reply = await self.datadog.post_deployment(event, self.site, self.own_keys)
        outcome = classify_event(reply, self.clock())
        if isinstance(outcome, Accepted):
            return linked(verdict, event)
        logger.warning(
            "Rollout %s/%s: the restored deployment was not posted: %s",
            observation.namespace,
            observation.name,
            outcome.message,
        )
        return None

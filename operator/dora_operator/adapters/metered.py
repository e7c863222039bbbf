"""Datadog's API with a meter around it. Changes nothing that passes."""

from collections.abc import Callable
from dataclasses import dataclass

from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.request import PatchById, PatchRequest
from dora_operator.domain.rollout.restored import Restoration
from dora_operator.domain.sites import Site
from dora_operator.meter import Account, Call, Credentials, Meter
from dora_operator.ports import DatadogPort, Keys, NoKeys


@dataclass(frozen=True, slots=True)
class MeteredDatadog:
    """Implements `ports.DatadogPort` by another one."""

    inner: DatadogPort
    meter: Meter
    own_keys: Keys | NoKeys
    time: Callable[[], float]
    """Seconds of a clock that never goes back."""

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send the request, and tell the meter."""
        begun = self.time()
        reply = await self.inner.patch(request, site, keys)
        call = Call.BY_ID if isinstance(request, PatchById) else Call.BY_VERSION
        self.meter.answered(call, reply, self._account(site, keys), self.time() - begun)
        return reply

    async def post_deployment(self, event: Restoration, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send the event, and tell the meter."""
        begun = self.time()
        reply = await self.inner.post_deployment(event, site, keys)
        self.meter.answered(Call.RESTORED, reply, self._account(site, keys), self.time() - begun)
        return reply

    def _account(self, site: Site, keys: Keys) -> Account:
        """Two Secrets with the same key share a limit. Python's hash tells keys apart in this process alone."""
        credentials = Credentials.OWN if keys == self.own_keys else Credentials.SECRET
        return Account(site.value, credentials, hash(keys.api_key))

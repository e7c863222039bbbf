"""One Datadog account, by the operator's own client and keys: the only module that knows that client."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from dora_operator.clients.datadog import LIST_LIMIT, DatadogClient, Keys, open_http
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site, api_url
from dora_operator.domain.stored import ReadProblem, Stored
from dora_operator.metrics import Call, Metrics
from dora_operator.reconcile.credentials import NoKeys, own_keys_of
from dora_operator.reconcile.lookup import Lookup, Query
from dora_operator.reconcile.rate_limits import RateLimitKey, RateLimits
from dora_operator.settings import Settings
from dora_operator.workqueue import Result, WorkQueue
from kubectl_dora.cluster import now

MAX_WAIT_SECONDS = 90.0
"""How long a list waits for Datadog's rate limit."""
CALLS = {"PATCH": Call.BY_ID, "GET": Call.READ}


@dataclass(frozen=True, slots=True)
class Account:
    """Sends requests to one account."""

    client: DatadogClient
    site: Site
    keys: Keys

    async def send(self, method: str, path: str, body: bytes = b"") -> Answer | NoAnswer:
        """Send a request and return the answer, or why there is none."""
        call = CALLS.get(method, Call.LIST)
        return await self.client.send(call, method, path, body, self.site, self.keys, LIST_LIMIT)


def keys_of(settings: Settings) -> Keys | NoKeys:
    """Return the operator's own keys, or why there are none."""
    return own_keys_of(settings)()


def url_of(settings: Settings) -> str:
    """Return where requests go."""
    return settings.base_url or api_url(settings.site)


@asynccontextmanager
async def open_account(settings: Settings, keys: Keys) -> AsyncIterator[Account]:
    """Open a connection for one request after the other."""
    base_url = settings.base_url
    async with open_http(connections=1, trust_env=settings.trust_env) as http:
        seconds = settings.request_timeout_seconds
        client = DatadogClient(http, base_url=base_url, timeout_seconds=seconds, metrics=Metrics())
        yield Account(client, settings.site, keys)


async def list_services(
    settings: Settings, keys: Keys, services: Iterable[tuple[str, str]], since: datetime
) -> dict[tuple[str, str], Stored | ReadProblem]:
    """List the deployments of each service and env, as the operator does."""
    async with open_account(settings, keys) as account:
        lookup = Lookup(account.client, RateLimits(), WorkQueue(time.monotonic), now)
        return {service: await _list(lookup, account, Query(*service, since)) for service in services}


async def _list(lookup: Lookup, account: Account, query: Query) -> Stored | ReadProblem:
    limit = RateLimitKey(account.site.value, hash(account.keys.api_key))
    while True:
        result = await lookup.read(limit, account.keys, query, not_before=now(), mark_waits=True)
        if not isinstance(result, Result):
            return result
        seconds = (result.at - now()).total_seconds() if result.at is not None else MAX_WAIT_SECONDS
        if seconds >= MAX_WAIT_SECONDS:
            return ReadProblem(Reason.READ_UNAVAILABLE, "Datadog's rate limit is used up; try again later")
        await asyncio.sleep(max(seconds, 0.1))

"""One Datadog account, by the operator's own client and keys: the only module that knows that client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dora_operator.clients.datadog import LIST_LIMIT, DatadogClient, Keys, open_http
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.sites import Site, api_url
from dora_operator.metrics import Call, Metrics
from dora_operator.reconcile.credentials import NoKeys, own_keys_of
from dora_operator.settings import Settings

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

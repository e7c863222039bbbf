"""Datadog's DORA API over httpx.

Sends one request and returns the answer, or why there is none; `domain.outcome` decides what it means. Hosts come from
the table of sites, or from the operator's own setting. Keys leave this module in request headers only.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote

import anyio
import httpx

from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer, shorten
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.sites import Site, api_url
from dora_operator.metrics import CODE_LABELS, Call, Metrics

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long a connection is kept for the next request."""
BODY_LIMIT = 64 * 1024
"""Bytes read of an answer; the rest is not waited for."""
LIST_LIMIT = 8 * 1024 * 1024
"""As BODY_LIMIT, for a list of up to a thousand deployments."""
REDACTED = b"[redacted]"
ENCODED = b"the body has a content-encoding, which was not asked for"
"""Replaces a compressed body: its size after decompression has no bound."""
KEPT_HEADERS = ("date", *(f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")))
_API_URLS = {site: api_url(site) for site in Site}
_USER_OF_A_URL = re.compile(rb"""//[^\s/"'<>\\]*@""")


class ProxyUnusableError(Exception):
    """A proxy that the environment names cannot be used. The message does not show its URL."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of a Datadog account. Their values never show in a repr."""

    api_key: str = field(repr=False)
    app_key: str = field(repr=False)


class DatadogClient:
    """Sends the operator's requests to Datadog. The httpx client is closed by its opener.

    `before_write` raises NotLeaderError when this process may not write.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        base_url: str | None,
        timeout_seconds: float,
        metrics: Metrics,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/") if base_url else None
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._before_write = before_write

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Mark a deployment.

        Raises:
            NotLeaderError: this process may not write.
        """
        self._before_write()
        call = Call.BY_ID if isinstance(request, PatchById) else Call.BY_VERSION
        return await self.send(call, "PATCH", request.path, encode(request), site, keys)

    async def post_deployment(self, event: DeploymentEvent, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send a deployment event.

        Raises:
            NotLeaderError: this process may not write.
        """
        self._before_write()
        return await self.send(Call.EVENT, "POST", DEPLOYMENT_PATH, encode_event(event), site, keys)

    async def delete_deployment(self, deployment_id: str, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Delete a deployment event that the operator posted.

        Raises:
            NotLeaderError: this process may not write.
        """
        self._before_write()
        path = f"{DEPLOYMENT_PATH}/{quote(deployment_id, safe='')}"
        return await self.send(Call.DELETE, "DELETE", path, b"", site, keys)

    async def get_deployment(self, deployment_id: str, site: Site, keys: Keys) -> Answer | NoAnswer:
        path = f"{COLLECTION}/{quote(deployment_id, safe='')}"
        return await self.send(Call.READ, "GET", path, b"", site, keys, LIST_LIMIT)

    async def list_deployments(  # noqa: PLR0913, PLR0917 - what a list takes
        self, service: str, env: str, since: datetime, until: datetime, limit: int, site: Site, keys: Keys
    ) -> Answer | NoAnswer:
        """Read the deployments of a service and env that began between two times, the newest first."""
        body = encode_list(service, env, since, until, limit)
        return await self.send(Call.LIST, "POST", COLLECTION, body, site, keys, LIST_LIMIT)

    async def send(  # noqa: PLR0913, PLR0917 - one request
        self, call: Call, method: str, path: str, body: bytes, site: Site, keys: Keys, max_bytes: int = BODY_LIMIT
    ) -> Answer | NoAnswer:
        """Send any request and return the answer, or why there is none. Whether it may be sent is not checked.

        `max_bytes` bounds the body of an answer with 200; of any other, BODY_LIMIT is read.
        """
        begun = time.monotonic()
        answer = await self._answer(method, (self._base_url or _API_URLS[site]) + path, body, keys, max_bytes)
        code = answer.status if isinstance(answer, Answer) else None
        self._metrics.datadog_requests.labels(call.value, CODE_LABELS[code]).inc()
        self._metrics.datadog_request_seconds.labels(call.value).observe(time.monotonic() - begun)
        return answer

    async def _answer(self, method: str, url: str, body: bytes, keys: Keys, max_bytes: int) -> Answer | NoAnswer:
        try:
            with anyio.fail_after(self._timeout_seconds):  # httpx's pool loses connections to a cancellation by asyncio
                async with self._http.stream(method, url, content=body, headers=_headers(keys)) as response:
                    return await _read(response, keys, max_bytes)
        except TimeoutError:
            return NoAnswer(FailureKind.TIMEOUT, f"no whole answer within {self._timeout_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # OSError: TLS that breaks within an answer
            kind = FailureKind.TIMEOUT if isinstance(error, httpx.TimeoutException) else FailureKind.UNREACHABLE
            text = redacted(f"{type(error).__name__}: {error}".encode(errors="replace")[:BODY_LIMIT], keys)
            return NoAnswer(kind, shorten(text.decode(errors="replace"), 160))


def _headers(keys: Keys) -> Mapping[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a bound on an answer's size must not be one on its compressed size
        "Content-Type": "application/json",
        "DD-API-KEY": keys.api_key,
        "DD-APPLICATION-KEY": keys.app_key,
        "User-Agent": "dora-operator",
    }


async def _read(response: httpx.Response, keys: Keys, max_bytes: int) -> Answer:
    """Return the answer with at most so many bytes. What may be shown, anything but a list, is short and redacted."""
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return Answer(response.status_code, headers, ENCODED)
    is_list = response.status_code == HTTPStatus.OK and max_bytes > BODY_LIMIT
    limit = max_bytes if is_list else BODY_LIMIT
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    kept = bytes(body[:limit])
    return Answer(response.status_code, headers, kept if is_list else redacted(kept, keys), len(body) > limit)


def redacted(text: bytes, keys: Keys) -> bytes:
    """Return the text without the keys and without users and passwords in URLs: it is shown in a status or a log."""
    for key in filter(None, (keys.api_key, keys.app_key)):
        text = text.replace(key.encode(), REDACTED)
    return _USER_OF_A_URL.sub(b"//", text)


def open_http(*, connections: int, trust_env: bool = False) -> httpx.AsyncClient:
    """Return a client that keeps at most so many connections: TLS verified, no redirects, no cookies.

    It opens as many as there are requests at once, which is bounded elsewhere: a request that is cancelled while it
    waits for httpx's pool would take a connection with it.

    `trust_env` takes HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE from the environment, else nothing comes from there.

    Raises:
        ProxyUnusableError: the environment names a proxy that cannot be used.
    """
    limits = httpx.Limits(max_keepalive_connections=connections, keepalive_expiry=IDLE_SECONDS)
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)  # DatadogClient bounds a whole request
    # The cookies of one account's answer must not come along with the next one's request.
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    try:
        return httpx.AsyncClient(limits=limits, timeout=timeout, cookies=cookies, trust_env=trust_env)
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        message = (
            f"HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not the URL of an HTTP proxy ({type(error).__name__}):"
            " set http://host:port, or unset DORA_OPERATOR_TRUST_ENV"
        )
        raise ProxyUnusableError(message) from None

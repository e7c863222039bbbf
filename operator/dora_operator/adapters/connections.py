"""Carries httpx's requests over aiohttp's connections, which take less processor time than httpx's own.

Sends a request once, follows no redirect, keeps no cookie, decompresses nothing and reads no environment. Knows nothing
of Datadog. Why not a package that does the same: docs/decisions/0008.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
import httpx
from yarl import URL

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long a connection is kept for the next request."""
CHUNK = 16 * 1024


@asynccontextmanager
async def open_transport(
    tls: ssl.SSLContext, proxy: str | None, connections: int
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Open a transport of at most so many connections. The caller bounds the time of a whole request."""
    connector = aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=IDLE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        proxy=proxy,
    ) as session:
        yield _Transport(session)


class _Transport(httpx.AsyncBaseTransport):
    """Implements httpx's transport."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body is in memory."""
        with _httpx_errors():
            response = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),  # else yarl takes %3A in an id for a colon
                data=request.content,
                headers=request.headers,
                allow_redirects=False,
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))


@dataclass(frozen=True, slots=True)
class _Body(httpx.AsyncByteStream):
    """The body of an answer as it comes in."""

    response: aiohttp.ClientResponse

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self.response.content.iter_chunked(CHUNK):
                yield chunk

    async def aclose(self) -> None:
        """Give the connection back; where the answer was not read to its end, it is closed."""
        self.response.release()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpx.ConnectTimeout(f"no connection within {CONNECT_SECONDS:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.NetworkError(f"{type(error).__name__}: {error}") from error

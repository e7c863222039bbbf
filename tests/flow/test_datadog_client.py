"""The client for Datadog against a real server that misbehaves in every way."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dora_operator.clients import datadog as module
from dora_operator.clients.datadog import (
    BODY_LIMIT,
    LIST_LIMIT,
    DatadogClient,
    Keys,
    ProxyUnusableError,
    open_http,
    redacted,
)
from dora_operator.clients.errors import NotLeaderError
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer, TryAgain, classify
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.request import PatchById
from dora_operator.domain.resource import MarkState
from dora_operator.domain.sites import Site
from dora_operator.metrics import Metrics
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Redirect, Reset, Respond
from tests.support.builders import NOW

KEYS = Keys("canary-api", "canary-app")
REQUEST = PatchById("43vkaZNgiso", MarkState(change_failure=True))
EVENT = DeploymentEvent(
    deployment_id="dora-operator-0123", service="s", env="e", version="1", started_at=NOW, finished_at=NOW
)
SECONDS = 0.6


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a server."""
    with StandIn() as running:
        yield running


@asynccontextmanager
async def client_for(
    url: str, seconds: float = SECONDS, *, trust_env: bool = False, metrics: Metrics | None = None
) -> AsyncIterator[DatadogClient]:
    """Open a client with a short timeout."""
    async with open_http(connections=2, trust_env=trust_env) as http:
        yield DatadogClient(http, base_url=url, timeout_seconds=seconds, metrics=metrics or Metrics())


@pytest.fixture
async def client(datadog: StandIn) -> AsyncIterator[DatadogClient]:
    """Return a client of that server."""
    async with client_for(datadog.url + "/") as opened:
        yield opened


async def send(client: DatadogClient) -> Answer | NoAnswer:
    """Send one request."""
    return await client.patch(REQUEST, Site.US1, KEYS)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        pytest.param(Reset(), FailureKind.UNREACHABLE, id="a reset connection"),
        pytest.param(HalfBody(), FailureKind.UNREACHABLE, id="202 with half a body is no proof"),
        pytest.param(Garbage(), FailureKind.UNREACHABLE, id="bytes that are no HTTP"),
        pytest.param(Hang(), FailureKind.TIMEOUT, id="no answer"),
        pytest.param(Drip(interval=0.2), FailureKind.TIMEOUT, id="a byte at a time"),
    ],
)
async def test_failures_are_values(datadog: StandIn, client: DatadogClient, what: Any, kind: FailureKind) -> None:
    """No way of failing raises, and none lasts longer than the limit."""
    datadog.fault(what)
    begun = time.monotonic()
    found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is kind
    assert time.monotonic() - begun < SECONDS + 2


@pytest.mark.parametrize("what", [Reset(), Hang(), HalfBody(), Respond(status=500, body="x" * BODY_LIMIT * 4)])
async def test_the_next_request_is_well_after_failures(datadog: StandIn, client: DatadogClient, what: Any) -> None:
    """A broken connection does not stay in the pool, which has two."""
    datadog.fault(what, times=4)
    await asyncio.gather(*(send(client) for _ in range(4)))
    datadog.clear_faults()
    found = await send(client)
    assert isinstance(found, Answer)
    assert found.status == 202


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    host: str = "127.0.0.1",
    **options: Any,
) -> AsyncIterator[asyncio.Server]:
    """Run a server, and close its connections before the event loop ends."""
    handled: set[asyncio.Future[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.add(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(begin, host, **options)
    async with server:
        yield server
    if handled:
        _, left = await asyncio.wait(handled, timeout=5)
        assert not left


async def test_no_connection_is_lost_to_a_timeout() -> None:
    """Answers that come just when the timeout ends, in a busy loop: no connection stays open but the two for later.

    A cancellation by asyncio while httpx closes an answer would keep its connection for ever.
    """
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
                await asyncio.sleep(0.05)
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        finally:
            connections.discard(writer)

    async def one(http: httpx.AsyncClient, number: int, url: str) -> None:
        seconds = 0.05 + number % 60 / 2000
        await send(DatadogClient(http, base_url=url, timeout_seconds=seconds, metrics=Metrics()))

    async with serving(serve) as server, open_http(connections=2) as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for batch in range(40):
            await asyncio.gather(*(one(http, number, url) for number in range(batch, batch + 20)))
        async with asyncio.timeout(5):
            while len(connections) > 2:  # noqa: ASYNC110 - the condition is at the server
                await asyncio.sleep(0.02)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=36_500))
    pem = made.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


async def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """Not one byte of the request leaves, with its keys; the failure says what is wrong with the certificate."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())

    async with serving(serve, "localhost", ssl=self_signed(tmp_path), family=socket.AF_INET) as server:
        port = server.sockets[0].getsockname()[1]
        async with client_for(f"https://localhost:{port}", 5) as client:
            found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "certificate" in found.detail.lower()
    assert not received


async def test_redirects_are_not_followed(datadog: StandIn, client: DatadogClient) -> None:
    """Keys go to the host of the table and to no other."""
    with StandIn() as elsewhere:
        datadog.fault(Redirect(location=elsewhere.url + "/api/v2/dora/deployments/x"))
        found = await send(client)
        assert isinstance(found, Answer)
        assert found.status == 307
        assert elsewhere.requests() == []


async def test_the_environments_proxy_is_not_used(
    datadog: StandIn, client: DatadogClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and the like are for other programs, netrc too."""
    with StandIn() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with client_for(datadog.url) as fresh:
            await send(fresh)
        assert proxy.requests() == []
    assert len(datadog.requests()) == 1


async def test_the_environments_proxy_is_used_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DORA_OPERATOR_TRUST_ENV: the request goes through the proxy, unless NO_PROXY names its host."""
    monkeypatch.delenv("no_proxy", raising=False)
    with StandIn() as proxy, StandIn() as direct:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for excepted, receiver in (("", proxy), ("localhost,127.0.0.1", direct)):
            monkeypatch.setenv("NO_PROXY", excepted)
            async with client_for(direct.url, trust_env=True) as client:
                await send(client)
            assert [len(one.requests()) for one in (proxy, direct)] == [int(one is receiver) for one in (proxy, direct)]
            receiver.clear()


@asynccontextmanager
async def refusing_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Run a proxy that wants another password; return its URL with a password, and the requests that it gets."""
    received: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode().partition(" HTTP/")[0])
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(serve) as server:
        yield f"http://user:proxy-canary@127.0.0.1:{server.sockets[0].getsockname()[1]}", received


@pytest.mark.parametrize(
    ("excepted", "direct"), [(".datadoghq.eu", Site.EU1), (".datadoghq.com", Site.US1), ("api.datadoghq.eu", Site.EU1)]
)
async def test_no_proxy_counts_for_each_site(monkeypatch: pytest.MonkeyPatch, excepted: str, direct: Site) -> None:
    """Of two sites, only the one that NO_PROXY names is asked without the proxy."""
    resolved: list[str] = []
    resolve = socket.getaddrinfo

    def recorded(host: Any, *more: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if "datadoghq" not in name:
            return resolve(host, *more, **named)
        resolved.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", excepted)
    proxied = ({Site.EU1, Site.US1} - {direct}).pop()
    async with refusing_proxy() as (url, received):
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with open_http(connections=2, trust_env=True) as http:
            client = DatadogClient(http, base_url=None, timeout_seconds=5, metrics=Metrics())
            for site in (direct, proxied):
                assert isinstance(await client.patch(REQUEST, site, KEYS), NoAnswer)
    assert resolved == [f"api.{direct.value}"]
    assert received == [f"CONNECT api.{proxied.value}:443"]


async def test_a_proxys_refusal_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown is the kind of the error, the status and its words."""
    async with refusing_proxy() as (url, _):
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with client_for("https://localhost:1", 5, trust_env=True) as client:
            found = await send(client)
    assert isinstance(found, NoAnswer)
    assert "407" in found.detail
    assert "canary" not in found.detail


@pytest.mark.parametrize(
    "error",
    [
        httpx.ProxyError("403 for http://user:canary@proxy:3128, refused"),
        httpx.ConnectError("https://canary@proxy:3128"),
        httpx.InvalidURL("//user:canary@proxy"),
        ssl.SSLError("DD-API-KEY canary-api"),
    ],
)
async def test_no_error_shows_a_password_or_a_key(error: Exception) -> None:
    """Whatever a library writes into it. None of them is raised."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        found = await send(DatadogClient(http, base_url="http://a", timeout_seconds=5, metrics=Metrics()))
    assert isinstance(found, NoAnswer)
    assert type(error).__name__ in found.detail
    assert "canary" not in found.detail


@pytest.mark.parametrize("proxy", ["ftp://user:canary@proxy", "http://user:canary/x@proxy:3128", "socks9://canary"])
def test_an_unusable_proxy_ends_the_start(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """The message names the variables, and does not show the URL."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ProxyUnusableError, match="HTTPS_PROXY") as raised:
        open_http(connections=1, trust_env=True)
    assert "canary" not in str(raised.value)
    open_http(connections=1)


async def test_no_cookie_is_kept(datadog: StandIn) -> None:
    """What one account's answer sets does not come along with the next one's request."""
    datadog.fault(Respond(status=202, headers={"Set-Cookie": "session=1; Path=/"}), times=1)
    async with client_for(datadog.url.replace("127.0.0.1", "localhost")) as client:  # addresses have no cookies
        for _ in range(2):
            await send(client)
    assert ["cookie" in request.headers for request in datadog.requests()] == [False, False]


async def test_of_an_endless_body_only_the_beginning_is_read() -> None:
    """The rest is not waited for."""
    read: list[bytes] = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while len(read) < BODY_LIMIT:
                read.append(b"x" * 1024)
                yield read[-1]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(500, stream=Endless())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        found = await send(DatadogClient(http, base_url="http://a", timeout_seconds=5, metrics=Metrics()))
    assert isinstance(found, Answer)
    assert found.body == b"x" * BODY_LIMIT
    assert found.is_cut
    assert len(read) == BODY_LIMIT / 1024 + 1


@pytest.mark.parametrize(("status", "limit"), [(200, LIST_LIMIT), (403, BODY_LIMIT), (202, BODY_LIMIT)])
async def test_what_is_searched_for_keys_is_short(
    datadog: StandIn, client: DatadogClient, monkeypatch: pytest.MonkeyPatch, status: int, limit: int
) -> None:
    """The loop must not stand still for a body of 8 MiB: of a list nothing is searched, of the rest the beginning."""
    searched: list[int] = []

    def recorded(text: bytes, keys: Keys) -> bytes:
        searched.append(len(text))
        return redacted(text, keys)

    monkeypatch.setattr(module, "redacted", recorded)
    datadog.fault(Respond(status=status, body="%41" * (LIST_LIMIT // 3 + 1)))
    found = await client.get_deployment("43vkaZNgiso", Site.US1, KEYS)
    assert isinstance(found, Answer)
    assert (len(found.body), found.is_cut) == (limit, True)
    assert searched == ([] if status == 200 else [BODY_LIMIT])


async def test_a_body_within_the_limit_is_not_cut(datadog: StandIn, client: DatadogClient) -> None:
    """Not even one of exactly that size."""
    datadog.fault(Respond(status=500, body="x" * BODY_LIMIT))
    found = await send(client)
    assert isinstance(found, Answer)
    assert (len(found.body), found.is_cut) == (BODY_LIMIT, False)


async def test_echoed_keys_are_redacted(datadog: StandIn, client: DatadogClient) -> None:
    """A proxy that repeats the request in its answer does not bring the keys into a status."""
    datadog.fault(Respond(status=403, body="you sent canary-api and canary-app"))
    found = await send(client)
    assert isinstance(found, Answer)
    assert found.body == b"you sent [redacted] and [redacted]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("via http://user:canary@proxy:3128/x", "via http://proxy:3128/x"),
        ("//canary@proxy and //u:canary@x@proxy", "//proxy and //proxy"),
        ('{"a":"http://x.y","b":"c@d.e"}', '{"a":"http://x.y","b":"c@d.e"}'),
        ("https://x.y/a@b", "https://x.y/a@b"),
    ],
)
def test_users_and_passwords_of_urls_are_removed(text: str, shown: str) -> None:
    """A proxy's page may show where it was asked. Other text stays as it is."""
    assert redacted(text.encode(), KEYS).decode() == shown


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_not_read(datadog: StandIn, client: DatadogClient, encoding: str) -> None:
    """It was not asked for, and could fill memory: Datadog's API does not give such an answer, so 202 is no proof."""
    body = gzip.compress(b'{"data":null}').decode("latin-1")
    datadog.fault(Respond(status=202, body=body, headers={"Content-Encoding": encoding}))
    found = await send(client)
    outcome = classify(found, NOW)
    assert isinstance(outcome, TryAgain)
    assert outcome.reason == "UnexpectedAnswer"
    assert "content-encoding" in outcome.message


async def test_the_rate_limits_headers_arrive(client: DatadogClient) -> None:
    """All five, with lower-case names."""
    found = await send(client)
    assert isinstance(found, Answer)
    names = {f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")}
    assert set(found.headers) - {"date"} == names


async def test_a_refused_connection() -> None:
    """The failure is not reported as a timeout, and holds no keys."""
    async with client_for("http://127.0.0.1:9") as client:
        found = await send(client)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "canary" not in found.detail


async def test_no_netrc_is_read(
    datadog: StandIn, client: DatadogClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry for the host would send a password to it."""
    (tmp_path / ".netrc").write_text("default login someone password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    await send(client)
    assert "authorization" not in datadog.requests()[0].headers


async def test_an_id_goes_out_as_it_is_encoded(datadog: StandIn, client: DatadogClient) -> None:
    """As Datadog's own client sends it."""
    for _ in range(3):
        await client.patch(PatchById("a/b:c d?e#f%41é", MarkState(change_failure=True)), Site.US1, KEYS)
    assert {request.path for request in datadog.requests()} == {
        "/api/v2/dora/deployments/a%2Fb%3Ac%20d%3Fe%23f%2541%C3%A9"
    }


async def test_requests_are_counted(datadog: StandIn) -> None:
    """By call and by answer, with the time until the answer."""
    metrics = Metrics()
    async with client_for(datadog.url, metrics=metrics) as client:
        await send(client)
        datadog.fault(Reset(), times=1)
        await send(client)
        await client.post_deployment(EVENT, Site.US1, KEYS)
    text = metrics.text().decode()
    for call, code in (("mark_by_id", "202"), ("mark_by_id", "none"), ("deployment_event", "200")):
        assert f'dora_operator_datadog_requests_total{{call="{call}",code="{code}"}} 1.0' in text
    assert 'dora_operator_datadog_request_seconds_count{call="mark_by_id"} 2.0' in text


async def test_nothing_is_sent_without_the_lease(datadog: StandIn) -> None:
    """A mark and a deployment event are writes; a read is none."""

    def refuse() -> None:
        raise NotLeaderError

    async with open_http(connections=1) as http:
        client = DatadogClient(
            http, base_url=datadog.url, timeout_seconds=SECONDS, metrics=Metrics(), before_write=refuse
        )
        with pytest.raises(NotLeaderError):
            await send(client)
        with pytest.raises(NotLeaderError):
            await client.post_deployment(EVENT, Site.US1, KEYS)
        assert datadog.requests() == []
        assert isinstance(await client.get_deployment("43vkaZNgiso", Site.US1, KEYS), Answer)


def test_keys_are_not_in_a_repr() -> None:
    """Keys may be part of what a traceback shows."""
    assert "canary" not in repr(KEYS)

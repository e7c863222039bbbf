"""The fault proxy: forwards to the local cluster's API server, and in between does what faults are in force.

Plain HTTP on loopback; the login of the client is passed on, so permissions and the audit log stay theirs.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import yaml
from aiohttp import web

from sandbox.cluster import LocalCluster
from sandbox.faults.fault import Fault, What

HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive"})


@dataclass(slots=True)
class FaultProxy:
    """A running proxy, as a context manager. Faults may be changed from any thread at any time."""

    cluster: LocalCluster
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """Method, path and query of every request, in order."""
    _started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = field(default_factory=Future)
    _thread: threading.Thread | None = None
    _streams: set[asyncio.Transport] = field(default_factory=set)

    def __enter__(self) -> Self:
        """Start, and return once it listens."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-proxy", daemon=True)
        self._thread.start()
        self._started.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end every connection."""
        loop, stop, _port = self._started.result()
        loop.call_soon_threadsafe(stop.set)
        assert self._thread is not None
        self._thread.join(10)

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads through this proxy."""
        body = yaml.safe_load(self.cluster.kubeconfig.read_text())
        for each in body["clusters"]:
            each["cluster"] = {"server": f"http://127.0.0.1:{self._started.result()[2]}"}
        path = folder / "kubeconfig-through-proxy"
        path.write_text(yaml.safe_dump(body))
        return path

    def fault(self, what: What, **more: object) -> Fault:
        """Put one more fault in force."""
        made = Fault(what, **more)  # type: ignore[arg-type]
        self.faults.append(made)
        return made

    def clear(self) -> None:
        """Let everything through again."""
        self.faults.clear()

    def cut_streams(self) -> None:
        """Cut every watch that runs: the next ones meet the faults in force."""
        loop = self._started.result()[0]
        loop.call_soon_threadsafe(self._abort_streams)

    def _abort_streams(self) -> None:
        for transport in list(self._streams):
            transport.abort()

    async def _serve(self) -> None:
        context = ssl.create_default_context(cafile=str(self.cluster.folder / "certificates" / "apiserver.crt"))
        stop = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False, read_bufsize=2**22) as session:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await self._handle(request, session)

            runner = web.ServerRunner(web.Server(handle), handle_signals=False, shutdown_timeout=0.5)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._started.set_result((asyncio.get_running_loop(), stop, runner.addresses[0][1]))
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest, session: aiohttp.ClientSession) -> web.StreamResponse:
        self.log.append(f"{request.method} {request.rel_url}")
        fault = next((one for one in self.faults if one.takes(request)), None)
        match fault.what if fault else None:
            case What.ANSWER if fault:
                return web.json_response(_status(fault.code), status=fault.code)
            case What.CUT:
                return _cut(request)
            case What.HANG:
                await asyncio.Event().wait()
            case What.STREAM_ERROR if fault:
                return await _lines(request, [{"type": "ERROR", "object": _status(fault.code)}])
            case What.STREAM_SILENT:
                await _lines(request, [])
                await asyncio.Event().wait()
        return await self._forward(request, session, fault.what if fault else None)

    async def _forward(
        self, request: web.BaseRequest, session: aiohttp.ClientSession, what: What | None
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = self.cluster.url + str(request.rel_url)
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with session.request(
                request.method, url, headers=headers, data=await request.read() or None, timeout=timeout
            ) as answer:
                if what is What.ANSWER_LOST:
                    await answer.read()
                    return _cut(request)
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
                if "watch=" in request.query_string:
                    return await self._stream(request, answer, what)
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)

    async def _stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, what: What | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        transport = request.transport
        assert transport is not None
        self._streams.add(transport)
        try:
            async for line in _events(answer, what):
                await response.write(line)
        finally:
            self._streams.discard(transport)
        return response


async def _events(answer: aiohttp.ClientResponse, what: What | None) -> AsyncIterator[bytes]:
    async for line in answer.content:
        if what is What.STREAM_LOSSY and b'"BOOKMARK"' not in line[:40]:
            continue
        yield line
        if what is What.STREAM_TWICE:
            yield line


async def _lines(request: web.BaseRequest, events: list[dict[str, object]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for event in events:
        await response.write(json.dumps(event).encode() + b"\n")
    return response


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _status(code: int) -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": f"made to fail: {code}"}

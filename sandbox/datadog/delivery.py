"""Brings an answer to a connection, whole or broken as a fault rule says.

The only module that touches sockets. Decides nothing: neither what the answer is nor whether there is a fault.
"""

import asyncio
import socket
import struct
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from sandbox.datadog.exchange import CONTENT_TYPE, JSON_API, Answer, encoded
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Pass, Redirect, Reset, Respond, Rule

Headers = tuple[tuple[str, str], ...]
_MISSING_BYTES = 64
_LINGER_OFF = struct.pack("ii", 1, 0)


def whole(answer: Answer) -> web.Response:
    """Return the answer for a connection that works."""
    return web.Response(status=answer.status, body=answer.body, headers=CIMultiDict(answer.headers))


def planned(rule: Rule, genuine: Answer | None, usual: Headers) -> Answer | None:
    """Return the answer that a rule sends, whole or in part; nothing where it sends no HTTP."""
    match rule.what:
        case Pass():
            return genuine
        case Respond(status=status, body=body, headers=headers):
            text = body.encode() if isinstance(body, str) else encoded(body)
            return Answer(status, text, _changed(((CONTENT_TYPE, JSON_API), *usual), headers))
        case Redirect(status=status, location=location):
            return Answer(status, b"", (*usual, ("Location", location)))
        case HalfBody(status=status, body=body) | Drip(status=status, body=body):
            return Answer(status, body.encode(), ((CONTENT_TYPE, JSON_API), *usual))
        case Reset() | Hang() | Garbage():
            return None


async def broken(rule: Rule, answer: Answer | None, request: web.BaseRequest) -> web.StreamResponse:
    """Do to the connection what the rule says, and return what aiohttp is to send, if it still can."""
    transport = request.transport
    if transport is None:
        return web.Response()
    match rule.what:
        case Reset():
            _reset(transport)
        case Hang():
            await asyncio.Event().wait()
        case Garbage(text=text):
            transport.write(text.encode("latin-1", "replace"))
            transport.close()
        case HalfBody() if answer is not None:
            transport.write(_head(answer, missing=_MISSING_BYTES) + answer.body)
            transport.close()
        case Drip(interval=interval) if answer is not None:
            await _drip(transport, answer, interval)
    return whole(answer) if answer is not None else web.Response()


def _reset(transport: asyncio.Transport) -> None:
    """Close without lingering: the other side sees a reset, not an orderly end."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    transport.abort()


async def _drip(transport: asyncio.Transport, answer: Answer, interval: float) -> None:
    transport.write(_head(answer, missing=0))
    for byte in answer.body:
        await asyncio.sleep(interval)
        transport.write(bytes([byte]))
    transport.close()


def _head(answer: Answer, *, missing: int) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Content-Length: {len(answer.body) + missing}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _changed(headers: Headers, changes: dict[str, str | list[str] | None]) -> Headers:
    changed = {name.lower() for name in changes}
    kept = [(name, value) for name, value in headers if name.lower() not in changed]
    for name, given in changes.items():
        kept += [(name, value) for value in ([given] if isinstance(given, str) else given or [])]
    return tuple(kept)

"""What is read of an answer: its first bytes, unpacked, and never the keys with which it was asked for."""

import html
import re
import zlib
from collections.abc import AsyncIterable
from urllib.parse import unquote_to_bytes

from dora_operator.ports import Keys

BODY_LIMIT = 64 * 1024
"""Bytes read of an answer; the rest is not waited for. Unpacked it is no longer either."""
PACKED = frozenset({"gzip", "x-gzip", "deflate"})
REDACTED = b"[redacted]"
NOTHING_LEFT = b'{"detail":"[redacted]"}'
"""Stands for a body that repeats a key in some disguise."""
_JSON_ESCAPE = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|(.))", re.DOTALL)


async def first_bytes(chunks: AsyncIterable[bytes], encoding: str) -> bytes:
    """Return the beginning of a body. Nothing is asked to be packed; who packs all the same must not fill memory."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) >= BODY_LIMIT:
            break
    raw = bytes(body[:BODY_LIMIT])
    return _unpacked(raw) if encoding.strip().lower() in PACKED else raw


def _unpacked(raw: bytes) -> bytes:
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib, by its head; else deflate without one
        try:
            return zlib.decompressobj(window).decompress(raw, BODY_LIMIT)
        except zlib.error:
            continue
    return raw


def redacted(body: bytes, keys: Keys) -> bytes:
    """Return the body without the keys: a proxy may echo the request, and its answer is shown in a status."""
    found = [key.encode() for key in (keys.api_key, keys.app_key) if key]
    for key in found:
        body = body.replace(key, REDACTED)
    if not any(mark in body for mark in (b"\\", b"%", b"&")):
        return body
    return NOTHING_LEFT if any(key in plain for key in found for plain in _read_as(body)) else body


def _read_as(body: bytes) -> tuple[bytes, ...]:
    """Return what the body says where it is JSON, a URL, or HTML."""
    escaped = _JSON_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]) if found[1] else found[2], body)
    page = html.unescape(body.decode(errors="replace")).encode(errors="replace")
    return escaped, unquote_to_bytes(body), page

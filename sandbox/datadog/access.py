"""Who may call what: 401 without keys, 403 with wrong ones or without the application key.

Pure. 401 without any key was probed; 403 is specified; which of the two a single missing key gets is chosen here.
"""

import hashlib
from functools import lru_cache

from sandbox.datadog.exchange import Answer, Received, refused
from sandbox.datadog.settings import Settings


@lru_cache(maxsize=4096)
def fingerprint(secret: str) -> str:
    """Return a short fingerprint by which tests can tell keys apart without ever seeing them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def denied(request: Received, settings: Settings, *, application_key_needed: bool) -> Answer | None:
    """Return the refusal of a request, or nothing where it may go on."""
    api_key, application_key = request.api_key, request.headers.get("DD-APPLICATION-KEY", "")
    if not api_key and not (application_key_needed and _bearer(request)):
        return refused(401, "Unauthorized")
    if not _accepted(api_key, settings.api_keys):
        return refused(403, "Forbidden")
    if not api_key or not application_key_needed:
        return None
    if not application_key:
        return refused(403, "Forbidden: this endpoint needs an application key")
    return None if _accepted(application_key, settings.application_keys) else refused(403, "Forbidden")


def _accepted(key: str, keys: frozenset[str]) -> bool:
    return not keys or key in keys


def _bearer(request: Received) -> bool:
    """An OAuth2 token instead of keys; any is accepted where any key is."""
    return request.headers.get("Authorization", "").startswith("Bearer ")

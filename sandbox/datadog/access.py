"""Access to an endpoint: 401 without keys, 403 with wrong ones, without the application key, or without permission.

Pure. 401 without any key was probed; 403 is specified, the words of a missing permission are Datadog's elsewhere; the
status for one missing key of two is chosen here, and so is that permission is checked before the body.
"""

import hashlib
from functools import lru_cache

from sandbox.datadog.exchange import Answer, Received, refused
from sandbox.datadog.settings import Permission, Settings


@lru_cache(maxsize=4096)
def fingerprint(secret: str) -> str:
    """Return a short fingerprint by which tests can distinguish keys without ever seeing them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def denied(request: Received, settings: Settings, *, needs: Permission | None) -> Answer | None:
    """Return the refusal of a request, or nothing where it may go on; without `needs` the API key is enough."""
    api_key, application_key = request.api_key, request.headers.get("DD-APPLICATION-KEY", "")
    with_token = not api_key and needs is not None and _bearer(request)
    if not api_key and not with_token:
        return refused(401, "Unauthorized")
    if not _accepted(api_key, settings.api_keys):
        return refused(403, "Forbidden")
    if needs is None:
        return None
    if not with_token and not application_key:
        return refused(403, "Forbidden: this endpoint needs an application key")
    if not with_token and not _accepted(application_key, settings.application_keys):
        return refused(403, "Forbidden")
    granted = settings.key_permissions.get(fingerprint(application_key), settings.permissions)
    return None if needs in granted else refused(403, f"Missing required permission: '{needs}'")


def _accepted(key: str, keys: frozenset[str]) -> bool:
    return not keys or key in keys


def _bearer(request: Received) -> bool:
    """Say whether there is an OAuth2 token instead of keys; any is accepted where any key is."""
    return request.headers.get("Authorization", "").startswith("Bearer ")

"""Asking servers on this machine, never through a proxy that the environment names: it could not reach them."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPResponse

NAMES = ("127.0.0.1", "localhost", "::1")


def ask(
    request: str | urllib.request.Request, *, seconds: float = 5.0, tls: ssl.SSLContext | None = None
) -> HTTPResponse:
    """Return the answer, to be closed by the caller; an answer of 400 and up is raised, as urllib does.

    Raises:
        OSError: there is no answer, or one of 400 and up (urllib.error.HTTPError).
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if tls is not None:
        handlers.append(urllib.request.HTTPSHandler(context=tls))
    answer: HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=seconds)
    return answer


def is_well(url: str | urllib.request.Request, *, seconds: float = 2.0, tls: ssl.SSLContext | None = None) -> bool:
    """Return whether a probe answers 200."""
    try:
        with ask(url, seconds=seconds, tls=tls) as response:
            return response.status == HTTPStatus.OK
    except OSError:
        return False


def direct(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which programs reach this machine without a proxy, and all else as before."""
    named = environment.get("no_proxy") or environment.get("NO_PROXY")
    names = ",".join((named, *NAMES) if named else NAMES)
    return {**environment, "no_proxy": names, "NO_PROXY": names}

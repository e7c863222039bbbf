"""The cluster that kubectl would use: the same kubeconfig, context and namespace. The only user of kubernetes.aio here.

Objects are plain dicts. The API server's own words are shown in errors, because it says best what is wrong with a
request; Secrets are never read.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import ApiException
from pydantic_core import from_json

from dora_operator.clients.login import NAMESPACE_FILE, kubeconfigs, own_namespace
from dora_operator.clients.proxies import proxy_for
from dora_operator.kubectl.errors import ClusterError, CommandError, NotFoundError
from dora_operator.kubectl.options import Options

PAGE = 500
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
FIELD_MANAGER = "kubectl-dora"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"

Body = dict[str, Any]


@dataclass(slots=True)
class Cluster:
    """Requests to one API server."""

    api: ApiClient
    namespace: str
    """The namespace that was asked for, or that of the context."""
    context: str
    requests: int = 0
    """How many were sent."""

    async def get(self, path: str, what: str, query: Mapping[str, str] | None = None) -> Body:
        """Read one object.

        Raises:
            NotFoundError: there is none.
            ClusterError: it could not be read.
        """
        return await self._request("GET", path, what, query=query)

    async def find(self, path: str, what: str) -> Body | None:
        """Read one object, or None where there is none."""
        try:
            return await self.get(path, what)
        except NotFoundError:
            return None

    async def list(self, path: str, what: str, **query: str) -> list[Body]:
        """List objects, page by page."""
        return [body async for bodies in self.pages(path, what, **query) for body in bodies]

    async def pages(self, path: str, what: str, **query: str) -> AsyncIterator[Sequence[Body]]:
        """Yield the pages of a list. The API server prepares the next one while the caller works on this one."""
        coming = asyncio.create_task(self._page(path, what, query, ""))
        try:
            while True:
                answer = await coming
                token = (answer.get("metadata") or {}).get("continue") or ""
                if token:
                    coming = asyncio.create_task(self._page(path, what, query, token))
                    await asyncio.sleep(0)  # sends the request
                yield answer.get("items") or []
                if not token:
                    return
        finally:
            coming.cancel()

    async def _page(self, path: str, what: str, query: Mapping[str, str], token: str) -> Body:
        page = {"limit": str(PAGE), **query} | ({"continue": token} if token else {})
        return await self._request("GET", path, what, query=page)

    async def create(self, path: str, body: Body, what: str, *, dry_run: bool = False) -> Body:
        """Create an object; with `dry_run` the API server only checks it."""
        return await self._request("POST", path, what, body=body, query=_writing(FIELD_MANAGER, dry_run=dry_run))

    async def patch(self, path: str, body: Body, what: str, *, dry_run: bool = False) -> Body:
        """Merge a patch into an object."""
        query = _writing(FIELD_MANAGER, dry_run=dry_run)
        return await self._request("PATCH", path, what, body=body, query=query, content_type=MERGE_PATCH)

    async def apply(self, path: str, body: Body, what: str, manager: str) -> Body:
        """Apply an object on the server, without force.

        Raises:
            ClusterError: 409: a field belongs to another manager.
        """
        query = _writing(manager, dry_run=False)
        return await self._request("PATCH", path, what, body=body, query=query, content_type=APPLY_PATCH)

    async def is_permitted(self, attributes: Mapping[str, str]) -> bool:
        """Ask whether this login may do something (SelfSubjectAccessReview)."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._request("POST", path, "the review of permissions", body=body)
        return (answer.get("status") or {}).get("allowed") is True

    async def _request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: Body | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Body:
        self.requests += 1
        url = self.api.configuration.host + path + ("?" + urlencode(query) if query else "")
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        try:
            token = await self.api.configuration.get_api_key_with_prefix("BearerToken")
            if token:
                headers["Authorization"] = token.strip()
            response = await self.api.call_api(method, url, headers, body, _request_timeout=TIMEOUT)
            status, data = response.status, await response.read()
        except (TimeoutError, aiohttp.ClientError, ApiException, OSError) as error:
            cause = f"the API server {self.api.configuration.host} cannot be reached: {type(error).__name__}: {error}"
            raise ClusterError(what, cause, "check the network, the context and the proxy settings") from error
        answer = _document(data)
        if status >= HTTPStatus.BAD_REQUEST:
            raise _error(what, status, answer)
        return answer


@asynccontextmanager
async def open_cluster(options: Options) -> AsyncIterator[Cluster]:
    """Log in as kubectl does.

    Raises:
        ClusterError: there is no usable login.
    """
    configuration = Configuration()
    context, namespace = await _log_in(configuration, options)
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)
    configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    async with ApiClient(configuration) as api:
        yield Cluster(api, options.namespace or namespace, context)


async def _log_in(configuration: Configuration, options: Options) -> tuple[str, str]:
    """Fill in the login; return the names of its context and namespace."""
    paths = [options.kubeconfig.expanduser()] if options.kubeconfig else kubeconfigs()
    names = ", ".join(map(str, paths))
    if not any(path.is_file() for path in paths):
        if options.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ and NAMESPACE_FILE.exists():
            return await _log_in_as_pod(configuration)
        fix = "set KUBECONFIG, give --kubeconfig, or check that `kubectl get ns` works"
        raise ClusterError(f"kubeconfig {names}", "there is no such file", fix)
    files = os.pathsep.join(str(path) for path in paths if path.is_file())
    try:
        await config.load_kube_config(
            files, context=options.context, client_configuration=configuration, persist_config=False
        )
        contexts, active = config.list_kube_config_contexts(files)
    except Exception as error:  # files written by hand: the package raises whatever their content leads to
        named = f", context {options.context}" if options.context else ""
        cause = f"it cannot be used: {type(error).__name__}: {error}"
        raise ClusterError(
            f"kubeconfig {names}{named}", cause, "check it with `kubectl config get-contexts`"
        ) from error
    chosen = next((each for each in contexts if each["name"] == options.context), active)
    return chosen["name"], (chosen.get("context") or {}).get("namespace") or "default"


def contexts(options: Options) -> list[str]:
    """Return the names of the contexts in the kubeconfigs."""
    paths = [options.kubeconfig.expanduser()] if options.kubeconfig else kubeconfigs()
    found, _ = config.list_kube_config_contexts(os.pathsep.join(str(path) for path in paths if path.is_file()))
    return [each["name"] for each in found]


async def _log_in_as_pod(configuration: Configuration) -> tuple[str, str]:
    try:
        config.load_incluster_config(configuration)
    except (config.ConfigException, OSError) as error:
        raise ClusterError("service account", str(error), "mount a service account token into the pod") from error
    return "in-cluster", own_namespace()


def _writing(manager: str, *, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _document(data: bytes) -> Body:
    try:
        answer = from_json(data, cache_strings="keys")
    except ValueError:
        return {"message": data.decode(errors="replace").strip()}
    return answer if isinstance(answer, dict) else {"message": str(answer)}


_FIXES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "log in again: the API server does not know these credentials",
    HTTPStatus.FORBIDDEN: "ask for this permission, or name a namespace in which you have it with -n",
    HTTPStatus.CONFLICT: "another user has changed it: see `kubectl get -o yaml`, and run the command again",
    HTTPStatus.UNPROCESSABLE_ENTITY: "correct what the message names",
    HTTPStatus.BAD_REQUEST: "correct what the message names",
}


def _error(what: str, status: int, answer: Body) -> CommandError:
    message = str(answer.get("message") or f"the API server answered {status}")
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(what, "check the name, the namespace (-n) and the context (--context)", message)
    return ClusterError(what, message, _FIXES.get(status, "try again: the API server could not answer"), status)

"""The cluster that kubectl would use: the same kubeconfig, flags and namespace, by the operator's own client.

The only module that sends by that client, and that knows the package kubernetes. Answers are plain dicts, checked here
to be objects of Kubernetes. Errors show the API server's own words: it says best what is wrong with a request.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config.kube_config import ConfigNode, KubeConfigMerger

from dora_operator.clients import login
from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import JSON, MERGE_PATCH, KubernetesClient
from dora_operator.clients.proxies import proxy_for
from dora_operator.metrics import Metrics
from kubectl_dora.errors import ClusterError, CommandError, NotFoundError, RefusedError
from kubectl_dora.options import Options

CONNECT_SECONDS, REQUEST_SECONDS, LOGIN_SECONDS = 5.0, 15.0, 60.0
DISCOVERY = ("APIGroup", "APIResourceList")
FIELD_MANAGER = "kubectl-dora"
OF_FLAGS = "kubectl-dora-flags"
"""Name of a context that joins --cluster and --user with the chosen one."""

Body = dict[str, Any]


def now() -> datetime:
    """Return the time: the only clock of the commands."""
    return datetime.now(UTC)  # noqa: TID251


@dataclass(frozen=True, slots=True)
class Cluster:
    """Requests to one API server. Each takes the name of what it is about, for errors.

    Raises:
        NotFoundError: there is no such object, or no such kind.
        RefusedError: the API server refused.
        ClusterError: it cannot be reached, or the answer is not one of Kubernetes.
    """

    client: KubernetesClient
    server: str
    namespace: str
    """The namespace that was asked for, or that of the context."""
    context: str

    async def get(self, path: str, what: str) -> Body:
        """Read one object."""
        return _checked(await self._send(what, "GET", path), what)

    async def find(self, path: str, what: str) -> Body | None:
        """Read one object, or None where there is none."""
        try:
            return await self.get(path, what)
        except NotFoundError:
            return None

    async def document(self, path: str, what: str) -> Body:
        """Read what is no object: discovery, or a schema."""
        answer = await self._send(what, "GET", path)
        if "openapi" in answer or answer.get("kind") in DISCOVERY:
            return answer
        raise ClusterError(what, *NOT_KUBERNETES)

    async def list(self, path: str, what: str, **query: str) -> list[Body]:
        """List objects, page by page."""
        with self._words(what):
            bodies = [body async for page in self.client.pages(path, query) for body in page.items]
        return [_checked(body, what, is_item=True) for body in bodies]

    async def create(self, path: str, body: Body, what: str, *, dry_run: bool = False) -> Body:
        """Create an object; with `dry_run` the API server only checks it."""
        return _checked(await self._send(what, "POST", path, body, _writing(dry_run=dry_run)), what)

    async def patch(self, path: str, body: Body, what: str, *, dry_run: bool = False) -> Body:
        """Merge a patch into an object."""
        query = _writing(dry_run=dry_run)
        return _checked(await self._send(what, "PATCH", path, body, query, MERGE_PATCH), what)

    async def is_permitted(self, attributes: Mapping[str, str]) -> bool:
        """Ask whether this login may do something (SelfSubjectAccessReview)."""
        root, kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
        body = {"apiVersion": root, "kind": kind, "spec": {"resourceAttributes": dict(attributes)}}
        what = "the review of permissions"
        answer = await self._send(what, "POST", f"/apis/{root}/selfsubjectaccessreviews", body)
        if answer.get("kind") != kind or not isinstance(answer.get("status"), dict):
            raise ClusterError(what, *NOT_KUBERNETES)
        return answer["status"].get("allowed") is True

    async def _send(
        self,
        what: str,
        method: str,
        path: str,
        body: Body | None = None,
        query: Mapping[str, str] = {},
        kind: str = JSON,
    ) -> Body:
        with self._words(what):
            return await self.client.request(method, path, body, query=query, content_type=kind)

    @contextmanager
    def _words(self, what: str) -> Iterator[None]:
        try:
            yield
        except KubernetesError as error:
            raise _error(what, self.server, error) from error


def _writing(*, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _checked(body: object, what: str, *, is_item: bool = False) -> Body:
    """Return an answer that is an object of Kubernetes. Items of a list need no kind."""
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        named = (body["metadata"].get("name"), body["metadata"].get("uid"))
        typed = ("",) if is_item else (body.get("apiVersion"), body.get("kind"))
        if all(isinstance(text, str) for text in (*named, *typed)):
            return body
    raise ClusterError(what, *NOT_KUBERNETES)


NOT_KUBERNETES = (
    "the answer is no object of Kubernetes",
    "log in again where a proxy asks for it, and check the server of the context with `kubectl cluster-info`",
)
_FIXES: Mapping[int | None, str] = {
    HTTPStatus.UNAUTHORIZED: "log in again: the API server does not know these credentials",
    HTTPStatus.FORBIDDEN: "ask for this permission, or name a namespace in which you have it with -n",
    HTTPStatus.CONFLICT: "another user has changed it: see `kubectl get -o yaml`, and run the command again",
    HTTPStatus.UNPROCESSABLE_ENTITY: "correct what the message names",
    HTTPStatus.BAD_REQUEST: "correct what the message names",
}


def _error(what: str, server: str, error: KubernetesError) -> CommandError:
    if error.code is None:
        cause = _cause(error.__cause__)
        if not cause:
            return ClusterError(what, *NOT_KUBERNETES)
        fix = "check the network, the context and the proxy settings"
        return ClusterError(what, f"the API server {server} cannot be reached: {cause}", fix)
    if error.code == HTTPStatus.NOT_FOUND:
        cause = error.detail or "the API server does not know this kind: it is not installed there"
        return NotFoundError(what, cause, "check the name, the namespace (-n) and the context (--context)")
    cause = error.detail or f"the answer is {error.code} without a reason of the API server: a proxy may have sent it"
    fix = _FIXES.get(error.code, "try again: the API server could not answer")
    return RefusedError(what, cause, fix, error.code)


def _cause(error: BaseException | None) -> str:
    """Return in words why there was no answer; empty: there was one."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, aiohttp.ClientConnectorDNSError):
        return os.strerror(error.errno).lower()
    return next((words for kind, words in _CAUSES.items() if isinstance(error, kind)), "")


_CAUSES: Mapping[type[BaseException], str] = {
    TimeoutError: "no answer in time; --request-timeout waits longer",
    aiohttp.ClientConnectorDNSError: "its name is not known",
    aiohttp.ClientConnectorCertificateError: "its certificate is not trusted, or is for another name",
    aiohttp.ClientSSLError: "TLS cannot be agreed on",
    aiohttp.ClientConnectionError: "the connection was closed before the answer",
    aiohttp.ClientError: "the answer cannot be read",
    OSError: "the connection failed",
    config.ConfigException: "the credentials cannot be read",
}
"""The first that fits counts."""


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
    async with _Api(configuration) as api:
        api.options = options
        client = KubernetesClient(api, Metrics(), now, lambda: None)
        yield Cluster(client, configuration.host, options.namespace or namespace, context)


class _Api(ApiClient):
    """Sends the operator's requests in the name of this tool, as the user whom --as names."""

    options = Options()

    async def call_api(  # type: ignore[override]
        self, method: str, url: str, headers: Body, body: object = None, **_: object
    ) -> RESTResponse:
        """Send a request."""
        headers = headers | {"User-Agent": FIELD_MANAGER}
        if self.options.as_user:
            headers["Impersonate-User"] = self.options.as_user
        wanted = self.options.request_timeout
        seconds = REQUEST_SECONDS if wanted is None else wanted.total_seconds() or None
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        return await super().call_api(method, url, headers, body, _request_timeout=timeout)


async def _log_in(configuration: Configuration, options: Options) -> tuple[str, str]:
    """Fill in the login; return the names of its context and namespace."""
    paths = _paths(options)
    named = f"kubeconfig {', '.join(map(str, paths))}"
    if not any(path.is_file() for path in paths):
        if options.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ and login.NAMESPACE_FILE.exists():
            return _log_in_as_pod(configuration)
        fix = "set KUBECONFIG, give --kubeconfig, or check that `kubectl get ns` works"
        raise ClusterError(named, "there is no such file", fix)
    with _messages() as messages:
        try:
            merged = KubeConfigMerger(_joined(paths)).config
            context, chosen = _context(merged, options)
            async with asyncio.timeout(LOGIN_SECONDS):
                await config.load_kube_config_from_dict(merged, chosen["name"], configuration)
        except config.ConfigException as error:
            raise _unusable(named, str(error)) from error
        except TimeoutError as error:
            raise _unusable(named, "the program that it names for the login does not end") from error
        except Exception as error:  # files written by hand: the package raises whatever their content leads to
            raise _unusable(named, "it has not the form of a kubeconfig") from error
    has_credentials = configuration.api_key or configuration.cert_file
    if messages and not has_credentials:
        raise _unusable(named, f"the program that it names for the login failed: {messages[0]}")
    return context, chosen["context"].get("namespace") or "default"


def _unusable(named: str, cause: str) -> ClusterError:
    return ClusterError(
        named, f"it cannot be used: {cause}", "check it with `kubectl config view` and `kubectl get ns`"
    )


def _context(merged: ConfigNode, options: Options) -> tuple[str, Body]:
    """Return the name of the chosen context, and the context to use: with --cluster and --user, another one."""
    name = options.context or merged["current-context"]
    chosen: Body = merged["contexts"].get_with_name(name).value
    changes = {key: value for key, value in (("cluster", options.cluster), ("user", options.user)) if value}
    if changes:
        chosen = {"name": OF_FLAGS, "context": {**chosen["context"], **changes}}
        merged.value["contexts"].append(ConfigNode(OF_FLAGS, chosen))
        if options.user:
            merged["users"].get_with_name(options.user)  # else the package goes on without a user
    return name, chosen


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Keep what the package would log about a login that fails, so that it gets into an error."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("kubernetes.aio.config.kube_config")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _log_in_as_pod(configuration: Configuration) -> tuple[str, str]:
    try:
        config.load_incluster_config(configuration)
    except (config.ConfigException, OSError) as error:
        raise ClusterError("service account", str(error), "mount a service account token into the pod") from error
    return "in-cluster", login.own_namespace()


def _paths(options: Options) -> list[Any]:
    return [options.kubeconfig.expanduser()] if options.kubeconfig else login.kubeconfigs()


def _joined(paths: list[Any]) -> str:
    return os.pathsep.join(str(path) for path in paths if path.is_file())


def contexts(options: Options) -> list[str]:
    """Return the names of the contexts in the kubeconfigs."""
    return [context["name"] for context in config.list_kube_config_contexts(_joined(_paths(options)))[0]]

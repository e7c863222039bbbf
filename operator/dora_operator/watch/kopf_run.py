"""One run of kopf: a thread with a loop of its own, because in the main loop it would cancel our tasks at its end.

A middleware in kopf's session authorizes each request, sees what kopf does, and empties its lists: the operator lists
the objects itself, page by page, and kopf would call the handler for each of them before it watches.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf
from yarl import URL

from dora_operator.clients.kubernetes import COMPONENT, Kind, resource_of
from dora_operator.clients.login import Login
from dora_operator.metrics import CODE_LABELS, Metrics

IDENTITY: Any = COMPONENT
"""kopf would make one of the user's and the host's name. Only its peering needs it, which is off."""
NO_OBJECTS = {"fieldSelector": "metadata.name=-"}
"""No object has this name. kopf gets no items but a valid resourceVersion, and opens its watch at once."""
SILENT_SECONDS = 60.0
"""A kopf that does nothing for this time hangs."""
UNSERVED_SECONDS = 3.0
"""A kopf that has not listed and sends no request for this time has not found the kind."""
INACTIVITY_SECONDS = 35.0
"""A stream that is silent for this time is dead: the API server should have ended it before."""

Receive = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the type and the object of an event. The type is None in kopf's own list."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one watch is about."""

    kind: Kind
    namespace: str | None
    """None is the whole cluster."""
    register: Callable[[kopf.OperatorRegistry, Receive], None]
    """Registers kopf's handler."""
    selector: str = ""
    may_be_absent: bool = False
    """A kind that is not installed is as good as one without objects."""


def build_settings(selector: str) -> kopf.OperatorSettings:
    """Return settings with which kopf only watches, and retries quickly. docs/decisions/0011 has the measurements."""
    settings = kopf.OperatorSettings()
    if selector:
        settings.watching.label_selectors[kopf.EVERYTHING] = selector
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _NoDiffBase([])
    settings.persistence.progress_storage = kopf.MultiProgressStorage([])
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 30  # so a working watch sends a request at least this often
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = itertools.repeat(0.5)  # without an end, else kopf ends
    settings.queueing.idle_timeout = 0.05  # the task of an object ends soon; 0 would be a livelock on Python 3.11
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # else kopf kills the process 600 s after an error
    return settings


class _NoDiffBase(kopf.MultiDiffBaseStorage):
    """Makes no copy of an object to compare with: that would be a third of kopf's CPU for each event."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()


@dataclass(slots=True, eq=False)
class KopfRun:
    """One run of kopf, until `give_up`. Its public attributes belong to the main loop."""

    scope: Scope
    login: Login
    metrics: Metrics
    receive: Receive
    """Called in the main loop, until this run is given up."""
    answered: Callable[[str, bool], None]
    """Called in the main loop after each answer: the problem, or nothing; and whether a watch was opened."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """kopf has listed: its watch starts here. Or it has ended."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Another run is needed."""
    failure: str = ""
    """Why. Nothing: kopf lists again, because its version was too old."""
    own_list_began: bool = False
    """What kopf lists from now on is younger than the operator's list: both are made again by another run."""
    _has_listed: bool = False
    _pending: int = 0
    """Requests without an answer yet."""
    _active_at: float = field(default_factory=time.monotonic)
    """When kopf last did something."""
    _given_up: bool = False
    _main: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _cancel: Callable[[], object] = lambda: None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"kopf {self.scope.kind.name}", daemon=True)

    def end(self, failure: str) -> None:
        if not self.ended.is_set():
            self.failure = failure
            self.ended.set()
            self.ready.set()

    def give_up(self) -> None:
        """End kopf without waiting for it, and ignore what it still says."""
        self._given_up = True
        self._cancel()

    def is_silent(self) -> bool:
        """Return whether kopf hangs, or has not found the kind."""
        has_work = self._has_listed or self._pending > 0
        return time.monotonic() - self._active_at > (SILENT_SECONDS if has_work else UNSERVED_SECONDS)

    # In kopf's thread

    def _run(self) -> None:
        failure = "kopf has ended"
        try:
            asyncio.run(self._operate())
        except BaseException as error:  # noqa: BLE001 - of whatever kind it is, kopf is started again
            failure += f": {error!r:.300}"
        self._in_main(self.end, failure)

    async def _operate(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed: kopf has ended
                loop.call_soon_threadsafe(task.cancel)

        self._cancel = cancel
        if self._given_up:
            return
        namespace, registry = self.scope.namespace, kopf.OperatorRegistry()
        self.scope.register(registry, lambda *event: self._in_main(self.receive, *event))
        async with self.login.open_session(self._middleware) as session:

            @kopf.on.login(registry=registry)
            async def log_in(**_: object) -> kopf.AiohttpSession:
                return kopf.AiohttpSession(server=self.login.configuration.host, aiohttp_session=session)

            await kopf.operator(
                registry=registry,
                settings=build_settings(self.scope.selector),
                identity=IDENTITY,
                standalone=True,
                clusterwide=namespace is None,
                namespaces=[] if namespace is None else [namespace],
            )

    async def _middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._given_up:
            raise asyncio.CancelledError  # for a task of kopf's that has missed its end and would retry for ever
        path, about_objects = request.url.path, request.url.path.endswith(f"/{self.scope.kind.plural}")
        method = "WATCH" if about_objects and "watch" in request.url.query else request.method
        lists = about_objects and method != "WATCH"
        if lists:
            request.url = request.url.update_query(NO_OBJECTS)
        request.server_hostname = self.login.configuration.tls_server_name
        self._in_main(self._asks)
        problem, code = "", None
        try:
            header = await self.login.authorization()
            if header and request.url.origin() == URL(self.login.configuration.host).origin():  # not after a redirect
                request.headers["Authorization"] = header
            response = await handler(request)
            code = response.status
            problem = "" if code < HTTPStatus.BAD_REQUEST else f"{method} {path}: the API server answered {code}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            problem = f"{method} {path}: {type(error).__name__}"
            raise
        finally:
            self.metrics.kubernetes_requests.labels(method, resource_of(path), CODE_LABELS[code]).inc()
            works = code is not None and not problem
            self._in_main(self._was_answered, problem, lists and works, method == "WATCH" and works)
        return response

    def _in_main(self, function: Callable[..., None], *arguments: object) -> None:
        def call() -> None:
            if not self._given_up:
                self._active_at = time.monotonic()
                function(*arguments)

        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._main.call_soon_threadsafe(call)

    # What the middleware reports, in the main loop

    def _asks(self) -> None:
        self._pending += 1

    def _was_answered(self, problem: str, is_list: bool, is_watch: bool) -> None:  # noqa: FBT001 - one caller
        self._pending -= 1
        if is_list:
            self._has_listed = True
            self.ready.set()
            if self.own_list_began:
                self.end("")
        self.answered(problem, is_watch)

"""The stand-in in a thread of its own, for synchronous and asynchronous tests alike.

Every method may be called from any thread; state is only touched on the server's own event loop.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from sandbox.datadog.faults import Match, Rule, What
from sandbox.datadog.recording import Recorded
from sandbox.datadog.seeds import Edit, Found, Seed
from sandbox.datadog.server import Clock, Server
from sandbox.datadog.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Running:
    """What there is only once it listens."""

    url: str
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


class StandIn:
    """Datadog's DORA API on loopback, as a context manager."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock = time.time) -> None:
        self._server = Server(settings or Settings(), clock)
        self._started: Future[_Running] = Future()
        self._thread = threading.Thread(target=self._run, name="datadog-stand-in", daemon=True)

    def __enter__(self) -> Self:
        """Start, and return once it listens."""
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end every connection."""
        running = self._started.result()
        running.loop.call_soon_threadsafe(running.stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return self._started.result().url

    def requests(self) -> list[Recorded]:
        """Return what was asked since the last clearing, oldest first."""
        return self._server.log.all()

    def wait_for_requests(self, count: int, timeout: float = 10) -> list[Recorded]:
        """Wait until so many requests came since the last clearing; TimeoutError when they do not."""
        return self._server.log.wait(count, timeout)

    def fault(
        self,
        what: What,
        *,
        match: Match | None = None,
        skip: int = 0,
        times: int | None = None,
        delay: float = 0,
        applied: bool = False,
    ) -> None:
        """Put one more fault in force, after those there are."""
        rule = Rule(what=what, match=match or Match(), skip=skip, times=times, delay=delay, applied=applied)
        self._ask(lambda: self._server.faults.add([rule]))

    def clear_faults(self) -> None:
        """Let every request through again."""
        self._ask(lambda: self._server.faults.replace([]))

    def clear_requests(self) -> None:
        """Forget what was asked."""
        self._server.log.clear()

    def clear(self) -> None:
        """Forget requests, faults and deployments."""
        self._ask(self._server.control.clear)

    def configure(self, **changes: Any) -> None:
        """Change settings from now on: delays, permissions, latencies, choices; what was scheduled keeps its time."""
        self._ask(lambda: self._server.control.configure(changes))

    def seed(self, *seeds: Seed) -> None:
        """Make deployments visible as they are, with any id: at once, or each after its delay."""
        self._ask(lambda: self._server.control.seed(list(seeds), self._server.clock()))

    def apm(self, *found: Found) -> list[str]:
        """Let APM find deployments, and return their ids; rows and delay are settings."""
        return self._ask(lambda: self._server.control.apm(list(found), self._server.clock()))

    def edit(self, deployment_id: str, **changes: Any) -> bool:
        """Change a visible deployment as a person does in the UI; None clears. Says whether there is one."""
        edit = Edit.model_validate(changes)
        return self._ask(lambda: self._server.control.edit(deployment_id, edit, self._server.clock()))

    def remove(self, deployment_id: str) -> bool:
        """Let a visible deployment disappear; says whether there was one."""
        return self._ask(lambda: self._server.api.model.remove(deployment_id, self._server.clock()))

    def lost_marks(self) -> int:
        """Return how many marks were accepted and never applied."""
        return self._ask(lambda: self._server.api.lost_marks(self._server.clock()))

    def deployments(self) -> Sequence[dict[str, Any]]:
        """Return every visible deployment as a resource with all its attributes."""
        return self._ask(lambda: self._server.api.deployments(self._server.clock()))

    def deployment(self, deployment_id: str) -> Any:
        """Return the attributes of one visible deployment, or nothing."""
        return next((one["attributes"] for one in self.deployments() if one["id"] == deployment_id), None)

    def _ask(self, question: Callable[[], T]) -> T:
        """Call on the server's loop, so that nothing is read while a request changes it."""
        answer: Future[T] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - carried over to the asking thread
                answer.set_exception(error)

        self._started.result().loop.call_soon_threadsafe(ask)
        return answer.result()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            url = await self._server.start()
        except OSError as error:
            self._started.set_exception(error)
            return
        stop = asyncio.Event()
        self._started.set_result(_Running(url, asyncio.get_running_loop(), stop))
        await stop.wait()
        await self._server.stop()

"""A watch over an API server that suffers: an absent CRD, broken streams, errors in the stream, refusals."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dora_operator.adapters import stream, watching
from dora_operator.adapters.cluster import Cluster
from dora_operator.adapters.kubernetes_api import StatusError
from dora_operator.adapters.stream import Watched
from dora_operator.adapters.watching import watch
from dora_operator.ports import ClusterUnavailableError
from dora_operator.sightings import Found, Gone, Listed, Seen, Sighting
from tests.support.builders import NOW


def body(name: str, version: int) -> dict[str, Any]:
    """Build a Rollout as the API server shows it, with parts that nobody reads."""
    metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": str(version), "managedFields": [1]}
    return {"metadata": metadata, "spec": {"replicas": 1, "template": {"large": True}}, "status": {"phase": "Healthy"}}


@dataclass
class Slow:
    """An answer that comes when a watch has brought what stands before this event."""

    answer: Any
    until: asyncio.Event


@dataclass
class Script:
    """Answers lists and watches from a script; an exception is raised where it stands."""

    lists: list[Any]
    watches: list[list[Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def request(self, _method: str, _path: str, *, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer a list."""
        self.asked.append(f"list {query['continue']}".strip())
        answer = self.lists.pop(0)
        if isinstance(answer, Slow):
            await answer.until.wait()
            answer = answer.answer
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def watch(self, _path: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Answer a watch."""
        self.asked.append(f"watch {query['resourceVersion']}")
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            if isinstance(event, asyncio.Event):
                event.set()
                continue
            yield event


def page(*bodies: dict[str, Any], version: str = "10", more: str = "") -> dict[str, Any]:
    """Build one page of a list."""
    return {"items": list(bodies), "metadata": {"resourceVersion": version, "continue": more}}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    """Build a watch event."""
    return {"type": kind, "object": body(name, version)}


async def seen(script: Script, count: int) -> list[str]:
    """Return the first sightings in words."""
    found: list[str] = []
    async for sighting in watch(script, Watched("Things", "/things")):  # type: ignore[arg-type]
        found.append(words(sighting))
        if len(found) == count:
            return found
    raise AssertionError("the watch ended")


def words(sighting: Sighting) -> str:
    """Say what a sighting says."""
    match sighting:
        case Listed(installed=False):
            return "absent"
        case Listed(keys=keys, version=version):
            return f"listed {' '.join(sorted(key.name for key in keys))} at {version}".replace("  ", " ")
        case Found(body=each) | Seen(body=each) | Gone(body=each):
            return f"{type(sighting).__name__.lower()} {each['metadata']['name']}"
        case _:
            return type(sighting).__name__.lower()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ABSENT_SECONDS", "BROKEN_SECONDS", "FORBIDDEN_SECONDS", "LONGEST_SECONDS"):
        monkeypatch.setattr(watching, name, 0.0)


ABSENT = StatusError(404, "GET")
BROKEN = ClusterUnavailableError("reset")
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "15"}}}


@pytest.mark.parametrize(
    ("may_be_absent", "level"),
    [
        pytest.param(True, "INFO", id="another product's kind that is not installed is no trouble"),
        pytest.param(False, "WARNING", id="the operator's own kind has to be there"),
    ],
)
async def test_what_is_said_of_an_absent_kind(
    caplog: pytest.LogCaptureFixture, *, may_be_absent: bool, level: str
) -> None:
    """Said once, however often it is looked for."""
    caplog.set_level("INFO")
    script = Script([ABSENT, ABSENT, ABSENT], [])
    sightings = watch(script, Watched("Things", "/things", may_be_absent=may_be_absent))  # type: ignore[arg-type]
    assert [words(await anext(sightings)) for _ in range(4)] == ["absent", "trouble", "absent", "trouble"]
    assert [record.levelname for record in caplog.records] == [level]


def error(code: int) -> dict[str, Any]:
    """Build an error in the stream."""
    return {"type": "ERROR", "object": {"code": code, "message": f"error {code}"}}


def going_on(trouble: Exception) -> Script:
    """Build a script in which a watch fails, and the next one goes on."""
    return Script([page(body("a", 1))], [[event("MODIFIED", "a", 11)], [trouble], [event("DELETED", "a", 12)]])


async def test_what_changes_during_a_list_is_seen_at_once() -> None:
    """Before the second page has come; and what that page still says of it is older, so it is not brought."""
    there = asyncio.Event()
    pages = [page(body("a", 1), more="next"), Slow(page(body("b", 2), body("c", 3), body("d", 4)), there)]
    changes = [event("MODIFIED", "b", 11), event("DELETED", "c", 12), event("ADDED", "e", 13), there]
    expected = ["found a", "seen b", "gone c", "seen e", "found d", "listed a b d e at 10"]
    assert await seen(Script(pages, [changes]), len(expected)) == expected


async def test_the_next_page_is_on_its_way_while_one_is_read() -> None:
    """Reading a page takes as long as the API server needs for the next one."""
    script = Script([page(body("a", 1), body("b", 2), more="more"), page(body("c", 3))], [[]])
    async for sighting in watch(script, Watched("Things", "/things")):  # type: ignore[arg-type]
        assert words(sighting) == "found a"
        assert "list more" in script.asked
        return


@pytest.mark.parametrize("trouble", [BROKEN, StatusError(503, "GET"), StatusError(410, "GET")], ids=str)
async def test_half_a_list_is_none(trouble: Exception) -> None:
    """However its second page fails, and though the watch beside it stands: the list begins anew."""
    script = Script([page(body("a", 1), more="next"), trouble, page(body("b", 2))], [[BOOKMARK], [BOOKMARK]])
    expected = ["found a", "quiet", "trouble", "found b", "quiet", "listed b at 10"]
    assert [word for word in await seen(script, 6) if word != "quiet"] == [w for w in expected if w != "quiet"]


async def test_a_watch_that_breaks_during_a_list_leaves_it_whole() -> None:
    """The list is brought to its end, then the watch goes on from where it was."""
    there = asyncio.Event()
    pages = [page(body("a", 1), more="next"), Slow(page(body("b", 2)), there)]
    script = Script(pages, [[event("MODIFIED", "a", 11), there, BROKEN], [event("MODIFIED", "b", 12)]])
    assert await seen(script, 6) == ["found a", "seen a", "found b", "listed a b at 10", "trouble", "seen b"]
    assert script.asked == ["list", "watch 10", "list next", "watch 11"]


async def test_a_quiet_watch_that_lasted_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing has changed since the API server started, it ends watches without a bookmark: go on."""
    monkeypatch.setattr(stream, "SHORT_SECONDS", 0.0)
    script = Script([page()], [[], [event("ADDED", "a", 11)]])
    assert await seen(script, 3) == ["listed at 10", "quiet", "seen a"]
    assert script.asked == ["list", "watch 10", "watch 10"]


@pytest.mark.parametrize(
    ("script", "expected", "asked"),
    [
        pytest.param(
            Script([page(body("a", 1))], [[event("MODIFIED", "a", 11), event("DELETED", "a", 12)]]),
            ["found a", "listed a at 10", "seen a", "gone a"],
            ["list", "watch 10"],
            id="a list and what changes",
        ),
        pytest.param(
            Script([page(body("a", 1), more="next"), page(body("b", 2), version="10")]),
            ["found a", "found b", "listed a b at 10"],
            ["list", "watch 10", "list next"],
            id="a list in pages, beside which the watch begins already",
        ),
        pytest.param(
            Script([page()], [[event("ADDED", "a", 11)], [BOOKMARK], [event("ADDED", "b", 16)]]),
            ["listed at 10", "seen a", "quiet", "seen b"],
            ["list", "watch 10", "watch 11", "watch 15"],
            id="a watch that ends in peace goes on where it ended",
        ),
        pytest.param(
            Script([page()], [[], [event("ADDED", "a", 11)]]),
            ["listed at 10", "trouble", "seen a"],
            ["list", "watch 10", "watch 10"],
            id="a watch that ends without a word is trouble, so that it is not asked for without a pause",
        ),
        *(
            pytest.param(
                Script([page(), page(body("a", 1), version="20")], [[error(code)], [event("ADDED", "b", 21)]]),
                ["listed at 10", "trouble", "found a", "listed a at 20", "seen b"],
                ["list", "watch 10", "list", "watch 20"],
                id=f"an error {code} in the stream means a new list",
            )
            for code in (410, 500, 429)
        ),
        pytest.param(
            Script([page(), page(version="20")], [[StatusError(410, "WATCH")], [event("ADDED", "b", 21)]]),
            ["listed at 10", "trouble", "listed at 20", "seen b"],
            ["list", "watch 10", "list", "watch 20"],
            id="a watch that is answered with 410 means a new list",
        ),
        *(
            pytest.param(
                going_on(trouble),
                ["found a", "listed a at 10", "seen a", "trouble", "gone a"],
                ["list", "watch 10", "watch 11", "watch 11"],
                id=f"{name}: the watch goes on where it was, so that no deletion is missed",
            )
            for name, trouble in {
                "a broken stream": BROKEN,
                "a server error": StatusError(503, "WATCH"),
                "too many requests": StatusError(429, "WATCH"),
                "a refused login": StatusError(401, "WATCH"),
                "a right taken away for a moment": StatusError(403, "WATCH"),
                "an API server that is behind": StatusError(504, "WATCH"),
            }.items()
        ),
        pytest.param(
            Script([page(body("a", 1), more="next"), StatusError(410, "GET"), page(body("b", 2))]),
            ["found a", "trouble", "found b", "listed b at 10"],
            ["list", "watch 10", "list next", "list"],
            id="a list whose second page has expired begins anew",
        ),
        pytest.param(
            Script([StatusError(410, "GET"), StatusError(500, "GET"), StatusError(403, "GET"), page()], [[]]),
            ["trouble", "trouble", "trouble", "listed at 10"],
            ["list", "list", "list", "list"],
            id="a refused list is asked for again",
        ),
        pytest.param(
            Script([ABSENT, ABSENT, page(body("a", 1))]),
            ["absent", "trouble", "absent", "trouble", "found a", "listed a at 10"],
            ["list", "list", "list"],
            id="installed after the operator",
        ),
        pytest.param(
            Script([page(body("a", 1)), ABSENT, page(body("b", 9))], [[ABSENT]]),
            ["found a", "listed a at 10", "absent", "trouble", "absent", "trouble", "found b", "listed b at 10"],
            ["list", "watch 10", "list", "list"],
            id="removed and installed again",
        ),
    ],
)
async def test_what_is_seen(script: Script, expected: list[str], asked: list[str]) -> None:
    """Whatever the API server does, the watch goes on, from the right place."""
    assert await seen(script, len(expected)) == expected
    assert script.asked == asked


async def test_a_place_in_the_stream_that_never_works_again_is_given_up() -> None:
    """An etcd that was restored from a backup is behind for ever: the watch lists anew after a while."""
    behind: list[list[Any]] = [[StatusError(504, "WATCH")] for _ in range(watching.PATIENCE)]
    script = Script([page(version="900"), page(version="10")], behind)
    expected = ["listed at 900", *["trouble"] * watching.PATIENCE, "listed at 10"]
    assert await seen(script, len(expected)) == expected


async def test_what_a_watch_has_lost_without_a_word_is_found() -> None:
    """Everything is listed anew now and then: a change and a deletion that no watch has brought."""
    before, after = page(body("a", 1), body("b", 1)), page(body("a", 12), version="13")
    script = Script([before, after], [[BOOKMARK], [BOOKMARK]])
    found: list[str] = []
    async for sighting in watch(script, Watched("Things", "/things", relist_seconds=0.0)):  # type: ignore[arg-type]
        found.append(words(sighting))
        if len(found) == 6:
            break
    assert found == ["found a", "found b", "listed a b at 10", "quiet", "found a", "listed a at 13"]
    assert script.asked[:3] == ["list", "watch 10", "list"]


async def test_large_parts_of_rollouts_are_forgotten() -> None:
    """Templates and managed fields are not kept in memory; everything that decides is."""
    cluster = Cluster(Script([page(body("a", 1))]), lambda: NOW)  # type: ignore[arg-type]
    async for sighting in cluster.watch_rollouts(None, ""):
        assert isinstance(sighting, Found)
        kept = sighting.body
        assert kept["spec"] == {"replicas": 1}
        assert "managedFields" not in kept["metadata"]
        assert kept["status"] == {"phase": "Healthy"}
        break

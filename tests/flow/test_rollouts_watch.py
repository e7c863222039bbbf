"""The watch of Rollouts over an API server that suffers: absent CRD, broken streams, errors in the stream."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dora_operator.adapters import rollouts
from dora_operator.adapters.kubernetes_api import StatusError
from dora_operator.adapters.rollouts import watch_rollouts
from dora_operator.ports import ClusterUnavailableError, RolloutGone, RolloutSeen, RolloutsListed


def body(name: str, version: int) -> dict[str, Any]:
    """Build a Rollout as the API server shows it, with parts that nobody reads."""
    metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": str(version), "managedFields": [1]}
    return {"metadata": metadata, "spec": {"replicas": 1, "template": {"large": True}}, "status": {"phase": "Healthy"}}


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
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def watch(self, _path: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Answer a watch."""
        self.asked.append(f"watch {query['resourceVersion']}")
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
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
    async for sighting in watch_rollouts(script, None, ""):  # type: ignore[arg-type]
        match sighting:
            case RolloutsListed(bodies=bodies, installed=installed):
                names = " ".join(each["metadata"]["name"] for each in bodies)
                found.append(f"listed {names}".strip() if installed else "absent")
            case RolloutSeen(body=each):
                found.append(f"seen {each['metadata']['name']}")
            case RolloutGone(body=each):
                found.append(f"gone {each['metadata']['name']}")
        if len(found) == count:
            return found
    raise AssertionError("the watch ended")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ABSENT_SECONDS", "BROKEN_SECONDS", "FORBIDDEN_SECONDS"):
        monkeypatch.setattr(rollouts, name, 0.0)


GONE = StatusError(404, "GET")
BROKEN = ClusterUnavailableError("reset")
ERROR = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "15"}}}


@pytest.mark.parametrize(
    ("script", "expected", "asked"),
    [
        pytest.param(
            Script([page(body("a", 1))], [[event("MODIFIED", "a", 11), event("DELETED", "a", 12)]]),
            ["listed a", "seen a", "gone a"],
            ["list", "watch 10"],
            id="a list and what changes",
        ),
        pytest.param(
            Script([page(body("a", 1), more="next"), page(body("b", 2))]),
            ["listed a b"],
            ["list", "list next"],
            id="a list in pages",
        ),
        pytest.param(
            Script([page()], [[event("ADDED", "a", 11)], [BOOKMARK], [event("ADDED", "b", 16)]]),
            ["listed", "seen a", "seen b"],
            ["list", "watch 10", "watch 11", "watch 15"],
            id="a watch that ends in peace goes on where it ended",
        ),
        pytest.param(
            Script([page(), page(body("a", 1), version="20")], [[ERROR], [event("ADDED", "b", 21)]]),
            ["listed", "listed a", "seen b"],
            ["list", "watch 10", "list", "watch 20"],
            id="an error in the stream means a new list",
        ),
        pytest.param(
            Script([page(), page()], [[BROKEN], [event("ADDED", "a", 11)]]),
            ["listed", "listed", "seen a"],
            ["list", "watch 10", "list", "watch 10"],
            id="a broken stream means a new list",
        ),
        pytest.param(
            Script([StatusError(410, "GET"), StatusError(500, "GET"), StatusError(403, "GET"), page()], [[]]),
            ["listed"],
            ["list", "list", "list", "list"],
            id="a refused list is asked for again",
        ),
        pytest.param(
            Script([GONE, GONE, page(body("a", 1)), GONE, page()], [[GONE]]),
            ["absent", "absent", "listed a", "absent", "absent"][:3],
            ["list", "list", "list"],
            id="installed after the operator",
        ),
        pytest.param(
            Script([page(body("a", 1)), GONE, page(body("b", 9))], [[GONE]]),
            ["listed a", "absent", "absent", "listed b"],
            ["list", "watch 10", "list", "list"],
            id="removed and installed again",
        ),
    ],
)
async def test_what_is_seen(script: Script, expected: list[str], asked: list[str]) -> None:
    """Whatever the API server does, the watch goes on, from the right place."""
    assert await seen(script, len(expected)) == expected
    assert script.asked == asked


async def test_large_parts_are_forgotten() -> None:
    """Templates and managed fields are not kept in memory; everything that decides is."""
    async for sighting in watch_rollouts(Script([page(body("a", 1))]), None, ""):  # type: ignore[arg-type]
        assert isinstance(sighting, RolloutsListed)
        (kept,) = sighting.bodies
        assert kept["spec"] == {"replicas": 1}
        assert "managedFields" not in kept["metadata"]
        assert kept["status"] == {"phase": "Healthy"}
        break

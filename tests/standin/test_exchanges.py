"""Exchanges replayed: ours, which state the recorded facts, and the real recordings where they are at hand.

Equal status, content type and body shape (the same members and types all the way down); error bodies to the letter.
"""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from sandbox.datadog import ReadSchema, Seed, Settings, StandIn

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
RECORDED = Path(os.environ.get("DORA_RECORDED", PROJECT.parent / "shared" / "recorded"))


class Exchange(NamedTuple):
    """A request and the answer that is expected."""

    method: str
    path: str
    body: Any
    status: int
    content_type: str | None
    answer: Any


class Story(NamedTuple):
    """Exchanges in a row, over deployments that are there before."""

    given: list[Seed]
    exchanges: list[Exchange]


def shape(value: Any) -> Any:
    """Return what kind of document it is: members and types, not values."""
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value).__name__


def own(path: Path) -> Story:
    """Read one of our fixtures."""
    document = json.loads(path.read_text())
    exchanges = [
        Exchange(*one["request"].values(), *one["response"].values())  # both in the order of Exchange
        for one in document["exchanges"]
    ]
    return Story([Seed(**given) for given in document["given"]], exchanges)


def listed(exchanges: list[Exchange]) -> Story:
    """Return a story in which every deployment that a recorded list shows is there before."""
    seeds = []
    for one in exchanges:
        shown = one.answer["data"] if one.status == 200 and isinstance(one.answer["data"], list) else []
        for resource in shown:
            attributes = resource["attributes"]
            times = {
                name: datetime.fromisoformat(attributes[name]).timestamp() for name in ("started_at", "finished_at")
            }
            seeds.append(Seed(**(attributes | times | {"id": resource["id"]})))
    return Story(seeds, exchanges)


def cassette(path: Path) -> Story:
    """Read a cassette of Datadog's Python client."""
    exchanges = []
    for one in yaml.safe_load(path.read_text())["interactions"]:
        request, response = one["request"], one["response"]
        path_only = httpx.URL(request["uri"]).raw_path.decode()
        answer = json.loads(response["body"]["string"])
        content_type = response["headers"]["content-type"][0]
        body = json.loads(request["body"])
        exchanges.append(Exchange(request["method"], path_only, body, response["status"]["code"], content_type, answer))
    return listed(exchanges)


def from_test_server(recording: dict[str, Any]) -> Story:
    """Read one scenario of the clients' test server data."""
    exchanges = []
    for one in recording["interactions"]:
        request, response = one["request"], one["response"]
        answer = json.loads(response["body"]["value"])
        content_type = response["headers"]["content-type"]
        body = request["body"]["value"]
        exchanges.append(Exchange(request["method"], request["path"], body, response["status"], content_type, answer))
    return listed(exchanges)


def real() -> list[Any]:
    """Return every real recording at hand, or one skipped test that says where they were sought."""
    data = RECORDED / "test-server-data.json"
    stories = [pytest.param(cassette(path), id=path.stem.replace("_", " ")) for path in sorted(RECORDED.glob("*.yaml"))]
    if data.exists():
        recordings = json.loads(data.read_text())["recordings"]
        stories += [pytest.param(from_test_server(one), id=f"test server: {one['scenario']}") for one in recordings]
    missing = pytest.mark.skip(reason=f"no recordings in {RECORDED}; set DORA_RECORDED to a folder that has them")
    return stories or [pytest.param(Story([], []), marks=missing, id="no recordings at hand")]


def replay(story: Story, connect: Callable[..., httpx.Client]) -> None:
    """Send each request and compare the answer."""
    with StandIn(Settings(read_schema=ReadSchema.PUBLISHED)) as datadog:
        datadog.seed(*story.given)
        client = connect(datadog)
        for one in story.exchanges:
            got = client.request(one.method, one.path, **({} if one.body is None else {"json": one.body}))
            answer = got.json() if got.content else None
            assert (got.status_code, got.headers.get("content-type")) == (one.status, one.content_type)
            assert shape(answer) == shape(one.answer)
            if one.status >= 400:
                assert answer == one.answer


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem.replace("_", " ")) for path in sorted(HERE.glob("recorded/*.json"))]
)
def test_our_exchanges(path: Path, connect: Callable[..., httpx.Client]) -> None:
    """The facts that the recordings show hold for the stand-in."""
    replay(own(path), connect)


@pytest.mark.parametrize("story", real())
def test_real_recordings(story: Story, connect: Callable[..., httpx.Client]) -> None:
    """What Datadog answered, the stand-in answers."""
    replay(story, connect)


def test_a_difference_is_noticed(connect: Callable[..., httpx.Client]) -> None:
    """A replay fails when an answer has another member than the recorded one."""
    story = own(HERE / "recorded" / "a_deployment_is_marked.json")
    bent = [*story.exchanges[:1], story.exchanges[1]._replace(answer={"data": {}})]
    with pytest.raises(AssertionError):
        replay(Story([], bent), connect)

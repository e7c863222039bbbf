"""What is known of the cluster: the newest version wins, our own writes are no news, links are kept."""

from collections.abc import Iterable
from typing import Any

import pytest

from dora_operator.domain.object_key import ObjectKey
from dora_operator.inventory import Inventory, Known

KEY = ObjectKey("shop", "mine")


def body(version: int = 1, uid: str = "u1", generation: int = 1, **status: Any) -> dict[str, Any]:
    """Build an object as the API server shows it."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": "mine",
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-23T12:00:00Z",
        },
        "spec": {"generation": generation},
        "status": status,
    }


def links(known: Known) -> Iterable[str]:
    """Link an object with its generation."""
    return {f"generation {known.generation}"}


@pytest.mark.parametrize(
    ("first", "second", "news"),
    [
        pytest.param(body(1), body(2, generation=2), True, id="a changed spec"),
        pytest.param(body(1), body(2, attempts=1), True, id="a status that somebody else wrote"),
        pytest.param(body(1), body(2), False, id="a change of metadata alone"),
        pytest.param(body(2, generation=2), body(1), False, id="an older version that comes late"),
        pytest.param(body(1), body(1), False, id="the same version again"),
        pytest.param(body(9), body(3, uid="u2"), True, id="another object of the same name"),
    ],
)
def test_what_is_news(first: dict, second: dict, *, news: bool) -> None:
    """Only something that a decision could depend on is news."""
    inventory = Inventory()
    assert inventory.observe(first, links)
    assert inventory.observe(second, links) is news


def test_our_own_write_comes_back_and_is_no_news() -> None:
    """The watch's echo of a status write wakes nobody."""
    inventory = Inventory()
    inventory.observe(body(1), links)
    known = inventory.get(KEY)
    assert known is not None
    inventory.saved(known, body(5, attempts=1), links)
    assert not inventory.observe(body(5, attempts=1), links)


def test_an_unsaved_status_outlives_edits() -> None:
    """What Datadog answered is not forgotten when the spec changes before it could be written."""
    inventory = Inventory()
    inventory.observe(body(1), links)
    known = inventory.get(KEY)
    assert known is not None
    inventory.keep_unsaved(known, b'{"attempts":3}')
    inventory.observe(body(2, generation=2), links)
    found = inventory.get(KEY)
    assert found is not None
    assert found.newest_status_json == b'{"attempts":3}'
    inventory.saved(found, body(3, generation=2, attempts=3), links)
    after = inventory.get(KEY)
    assert after is not None
    assert after.unsaved_status_json is None


def test_links_follow_the_spec() -> None:
    """A changed or deleted object leaves no link behind."""
    inventory = Inventory()
    inventory.observe(body(1), links)
    assert inventory.linked("generation 1") == [KEY]
    inventory.observe(body(2, generation=2), links)
    assert inventory.linked("generation 1") == []
    assert inventory.linked("generation 2") == [KEY]
    assert inventory.forget(KEY, "u1") is not None
    assert inventory.linked("generation 2") == []
    assert len(inventory) == 0


def test_a_late_deletion_does_not_drop_the_successor() -> None:
    """DELETED of an old uid leaves the new object of the same name."""
    inventory = Inventory()
    inventory.observe(body(1), links)
    inventory.observe(body(9, uid="u2"), links)
    assert inventory.forget(KEY, "u1") is None
    assert inventory.get(KEY) is not None

"""What is written to Kubernetes, and what its answers have to be, whatever stands in between."""

import re
from typing import Any

import pytest

from dora_operator.adapters.cluster import Cluster
from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError, Subject
from tests.support.builders import NOW

LABELS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123, by which the API server refuses other names."""


class Api:
    """Gives one answer to whatever is asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.bodies = answer, []  # type: Any, list[dict[str, Any]]

    async def request(self, *_: str, body: dict[str, Any], **__: object) -> Any:
        """Implement the API."""
        self.bodies.append(body)
        return self.answer


@pytest.mark.parametrize("name", ["a" * 253, "a" * 229 + "-" + "b" * 20, "a" * 228 + "-." + "b" * 20, "short"])
async def test_an_event_has_a_name_that_the_api_server_takes(name: str) -> None:
    """Long names are cut where a name may end."""
    api, subject = Api(), Subject("v1", "Thing", ObjectKey("shop", name), "uid")
    await Cluster(api, lambda: NOW).post_event(subject, EventNote("Normal", "Marked", "it was marked"))  # type: ignore[arg-type]
    named = api.bodies[0]["metadata"]["name"]
    assert len(named) <= 253
    assert re.fullmatch(LABELS, named)


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"metadata": None}, {"metadata": {"uid": "another"}}, {"kind": "Status"}]
)
async def test_an_answer_that_is_not_the_object_is_none(answer: Any) -> None:
    """200 with something else, from a proxy perhaps: the status counts as not written, and what it says is kept."""
    with pytest.raises(ClusterUnavailableError):
        await Cluster(Api(answer), lambda: NOW).write_status(ObjectKey("shop", "a"), "uid", {})  # type: ignore[arg-type]

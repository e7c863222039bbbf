"""The schema that `doctor` compares: a CRD that was just installed is not reported as missing."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dora_operator.domain.fields import API_VERSION, KIND
from kubectl_dora.cluster import Cluster
from kubectl_dora.doctor_facts import PUBLISHED_TRIES, read_served_fields
from kubectl_dora.errors import NotFoundError

SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"dryRun": {"type": "boolean"}}}}}
PUBLISHED = {"components": {"schemas": {"one": SCHEMA | {"x-kubernetes-group-version-kind": [{"kind": KIND}]}}}}


@dataclass
class NewCrd:
    """An API server whose CRD is served or not, and whose schema appears after some reads."""

    served: bool
    published_after: int
    reads: int = 0
    pauses: list[float] = field(default_factory=list)

    async def document(self, path: str, what: str) -> dict[str, Any]:
        """Return the resources of the version, or the schema once it is published."""
        if path == f"/apis/{API_VERSION}" and self.served:
            return {"resources": [{"kind": KIND}]}
        if path == f"/openapi/v3/apis/{API_VERSION}":
            self.reads += 1
            if self.reads > self.published_after:
                return PUBLISHED
        raise NotFoundError(what, "it does not exist", "install it")

    async def sleep(self, seconds: float) -> None:
        """Pause without waiting."""
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("server", "is_found", "pauses"),
    [
        pytest.param(NewCrd(served=True, published_after=0), True, 0, id="published"),
        pytest.param(NewCrd(served=True, published_after=3), True, 3, id="served, and published a moment later"),
        pytest.param(NewCrd(served=False, published_after=99), False, 0, id="not installed"),
        pytest.param(NewCrd(served=True, published_after=99), False, PUBLISHED_TRIES, id="never published"),
    ],
)
def test_the_schema_of_a_served_kind_is_awaited(server: NewCrd, is_found: bool, pauses: int) -> None:  # noqa: FBT001
    """Not longer than 30 seconds, and only where the kind is served."""
    found = asyncio.run(read_served_fields(cast("Cluster", server), server.sleep))
    assert (found is not None) is is_found
    assert len(server.pauses) == pauses
    assert sum(server.pauses) <= 30

"""The name that every Kubernetes object goes by here."""

from typing import NamedTuple


class ObjectKey(NamedTuple):
    """Where an object lives."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

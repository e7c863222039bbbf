"""Lanes: for one Datadog deployment, requests go one by one, whoever wants them.

Nobody blocks: who finds a lane taken is told so, and is woken when it is free.
"""

from dataclasses import dataclass, field

from dora_operator.domain.object_key import ObjectKey


@dataclass(slots=True)
class Lanes:
    """The lanes in use, and who waits for them."""

    _waiting: dict[str, set[ObjectKey]] = field(default_factory=dict)

    def enter(self, lane: str, key: ObjectKey) -> bool:
        """Take the lane, or note that `key` waits for it. Tell whether it was taken."""
        if lane in self._waiting:
            self._waiting[lane].add(key)
            return False
        self._waiting[lane] = set()
        return True

    def leave(self, lane: str) -> set[ObjectKey]:
        """Free the lane and return who waited."""
        return self._waiting.pop(lane)

"""Who may write: decided from a Lease, from when it was seen to change, and from one's own clock.

A follower never compares times of another machine: a Lease has run out when it has not changed for its duration, as
counted here. A leader counts from before the request that renewed it, and stops a third of the duration before anyone
else may begin. Source: client-go's leader election. Knows no API server and no clock.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as it was read."""

    holder: str
    """Identity of the process that holds it; empty: nobody."""
    duration_seconds: float
    version: str
    """Changes with every write."""
    transitions: int = 0


@dataclass(frozen=True, slots=True)
class LastSeen:
    """Since when a Lease is known not to have changed, on the own monotonic clock."""

    version: str
    at: float


@dataclass(frozen=True, slots=True)
class Create:
    """There is no Lease: make one."""


@dataclass(frozen=True, slots=True)
class Renew:
    """It is ours: write it again."""


@dataclass(frozen=True, slots=True)
class Take:
    """Nobody holds it any more: write ourselves into it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Another holds it, until this time on the own clock at least."""

    until: float


Move = Create | Renew | Take | Wait


def see(lease: Lease | None, before: LastSeen | None, now: float) -> LastSeen | None:
    """Note since when the Lease has not changed."""
    if lease is None:
        return None
    if before is not None and before.version == lease.version:
        return before
    return LastSeen(lease.version, now)


def next_move(lease: Lease | None, seen: LastSeen | None, me: str, now: float) -> Move:
    """Decide what to do about the Lease as it was read just now."""
    if lease is None or seen is None:
        return Create()
    if lease.holder == me:
        return Renew()
    if not lease.holder:
        return Take()
    runs_out = seen.at + lease.duration_seconds
    return Take() if now >= runs_out else Wait(runs_out)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a Lease is held, in seconds."""

    duration: float = 15.0

    @property
    def deadline(self) -> float:
        """How long a leader writes after the beginning of the request that renewed its Lease last."""
        return self.duration * 2 / 3

    @property
    def retry(self) -> float:
        """The pause between two looks at the Lease."""
        return self.duration / 7

    @property
    def request(self) -> float:
        """The longest time for one request about the Lease: several fit before the deadline."""
        return self.duration / 5

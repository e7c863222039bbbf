"""Leader election, decided from a Lease, from when it was seen to change, and from the local monotonic clock.

A follower never compares times of another machine: a Lease has expired when it has not changed for its duration, as
measured here, less the interval between two reads. A leader measures from before the request that renewed it, and stops
a sixth of the duration before another process may begin. A Lease that is deleted or edited by hand does not expire any
earlier: only its holder can release it at once.
Source: client-go's leader election.
"""

from dataclasses import dataclass
from datetime import datetime

GIVEN_BACK_SECONDS = 1.0
"""The duration that a holder writes when it releases its Lease, here and in client-go: it is not waited for."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as it was read."""

    holder: str
    """Identity of the process that holds it; empty: none."""
    duration_seconds: float
    version: str
    """Changes with every write."""
    renewed_at: datetime | None = None
    """By the clock of its holder. Nothing about the election follows from it."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """A Lease, and since when it is known not to have changed, on the local monotonic clock."""

    lease: Lease
    at: float
    deleted: bool = False
    """Whether it does not exist any more, since then."""


@dataclass(frozen=True, slots=True)
class Create:
    """There is no Lease: create one."""


@dataclass(frozen=True, slots=True)
class Renew:
    """It is ours: renew it."""


@dataclass(frozen=True, slots=True)
class Take:
    """It is held no more: write our identity into it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Another process holds it, until this time on the local clock at least."""

    until: float


Move = Create | Renew | Take | Wait


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the leader election, in seconds."""

    duration: float = 15.0

    @property
    def deadline(self) -> float:
        """How long a leader writes after the start of the request that last renewed its Lease."""
        return self.duration * 2 / 3

    @property
    def retry(self) -> float:
        """The interval between two reads of the Lease."""
        return self.duration / 7

    @property
    def longest_retry(self) -> float:
        """The longest interval between two reads: replicas do not read at the same moments."""
        return self.retry * 1.2

    def patience(self, theirs: float) -> float:
        """How long a Lease with the duration `theirs` has to be unchanged before it may be taken.

        A renewal is seen one interval late, so that much less: its holder has stopped long before, and from a crash to
        the next leader no more than the duration passes.
        """
        return max(theirs, self.duration) - self.longest_retry

    @property
    def request(self) -> float:
        """The longest time for one request about the Lease: several fit before the deadline."""
        return self.duration / 5


def see(lease: Lease | None, before: LastSeen | None, now: float) -> LastSeen | None:
    """Record since when the Lease has not changed. A deleted one still counts until it would have expired."""
    if before is not None and lease is None:
        return before if before.deleted else LastSeen(before.lease, now, deleted=True)
    if lease is None or (before is not None and not before.deleted and before.lease.version == lease.version):
        return before
    return LastSeen(lease, now)


def next_move(lease: Lease | None, seen: LastSeen | None, me: str, now: float, pace: Pace) -> Move:
    """Decide what to do about the Lease as it was just read.

    Its holder learns of an edit or a deletion only at its next read, and writes until then.
    """
    if seen is None or (lease is None and seen.lease.holder == me):
        return Create()
    if lease is not None and lease.holder == me:
        return Renew()
    is_released = not seen.lease.holder and seen.lease.duration_seconds <= GIVEN_BACK_SECONDS
    expires_at = seen.at + (0.0 if is_released else pace.patience(seen.lease.duration_seconds))
    if now < expires_at:
        return Wait(expires_at)
    return Create() if lease is None else Take()

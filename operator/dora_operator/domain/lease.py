"""Who may write: decided from a Lease, from when it was seen to change, and from one's own clock.

A follower never compares times of another machine: a Lease has run out when it has not changed for its duration, as
counted here, less the pause between two looks. A leader counts from before the request that renewed it, and stops a
sixth of the duration before anyone else may begin. Hands that delete or edit a Lease hurry nobody: only its holder can
give it back at once.
Source: client-go's leader election. Knows no API server and no clock.
"""

from dataclasses import dataclass

GIVEN_BACK_SECONDS = 1.0
"""The duration that a holder writes when it gives its Lease back, here and in client-go: nobody need wait for it."""


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
    """A Lease, and since when it is known not to have changed, on the own monotonic clock."""

    lease: Lease
    at: float
    deleted: bool = False
    """Whether it is not there any more, since then."""


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
    def longest_retry(self) -> float:
        """The longest pause between two looks: replicas do not look in step."""
        return self.retry * 1.2

    def patience(self, theirs: float) -> float:
        """How long a Lease of their duration has to be unchanged before it may be taken.

        A renewal is seen a look late, so that much less: whoever holds it has stopped long before, and from a crash
        to the next writer no more than the duration passes.
        """
        return max(theirs, self.duration) - self.longest_retry

    @property
    def request(self) -> float:
        """The longest time for one request about the Lease: several fit before the deadline."""
        return self.duration / 5


def see(lease: Lease | None, before: LastSeen | None, now: float) -> LastSeen | None:
    """Note since when the Lease has not changed. One that was deleted still says for how long nobody else begins."""
    if before is not None and lease is None:
        return before if before.deleted else LastSeen(before.lease, now, deleted=True)
    if lease is None or (before is not None and not before.deleted and before.lease.version == lease.version):
        return before
    return LastSeen(lease, now)


def next_move(lease: Lease | None, seen: LastSeen | None, me: str, now: float, pace: Pace) -> Move:
    """Decide what to do about the Lease as it was read just now.

    Whoever held it knows of an edit or a deletion only at its next look, and goes on writing until then.
    """
    if seen is None or (lease is None and seen.lease.holder == me):
        return Create()
    if lease is not None and lease.holder == me:
        return Renew()
    is_given_back = not seen.lease.holder and seen.lease.duration_seconds <= GIVEN_BACK_SECONDS
    runs_out = seen.at + (0.0 if is_given_back else pace.patience(seen.lease.duration_seconds))
    if now < runs_out:
        return Wait(runs_out)
    return Create() if lease is None else Take()

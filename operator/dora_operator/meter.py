"""What the rest of the operator tells about its work, and the vocabulary of gauges that are read when somebody asks.

A door like those of `ports`: whoever counts stands behind it. Knows nothing of Prometheus. No value here ever names an
object, a service or a Secret: a label must not grow with the cluster.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol

from dora_operator.domain.observed import MarkState
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.rollout.verdict import About, Kind

KINDS = ("DoraDeployment", "Rollout")
"""What is looked at."""
WATCHED = ("DoraDeployments", "Rollouts")


class Visited(Enum):
    """How a look at an object ended."""

    DONE = "done"
    UNAVAILABLE = "unavailable"
    """The API server has to be asked again."""
    BROKEN = "broken"
    """A defect of the operator's own; the log has the traceback."""


class Call(Enum):
    """The requests to Datadog."""

    BY_ID = "mark_by_id"
    BY_VERSION = "mark_by_version"
    RESTORED = "restored_deployment"


class Origin(Enum):
    """Who wanted what was accepted."""

    RESOURCE = "resource"
    ROLLOUT = "rollout"


class Credentials(Enum):
    """Whose keys an account belongs to."""

    OWN = "own"
    SECRET = "secret"  # noqa: S105 - a word, not a secret


class Account(NamedTuple):
    """A rate limit's owner. `identity` only tells accounts apart, is no key, and is shown nowhere."""

    site: str
    credentials: Credentials
    identity: int


class Meter(Protocol):
    """Told of everything that is counted. Never raises, never waits."""

    def visited(self, kind: str, result: Visited, seconds: float) -> None:
        """Count a look at an object of a kind."""

    def answered(self, call: Call, reply: Answer | NoAnswer, account: Account, seconds: float) -> None:
        """Count a request to Datadog, and keep what it says about the account's rate limit."""

    def accepted(self, origin: Origin, state: MarkState, due_at: datetime | None) -> None:
        """Count a state that Datadog has accepted; `due_at` is since when it was wanted."""

    def verdict(self, kind: Kind) -> None:
        """Count a verdict about a Rollout, each fact once."""

    def notice(self, about: About) -> None:
        """Count a Rollout's failure about which nothing can be said."""

    def kubernetes(self, method: str, resource: str, code: int | None) -> None:
        """Count a request to the API server; None: there was no answer."""

    def watch_restarted(self, resource: str) -> None:
        """Count a watch that broke or was refused, and begins anew."""


class NoMeter:
    """Counts nothing."""

    def visited(self, kind: str, result: Visited, seconds: float) -> None:
        """See Meter."""

    def answered(self, call: Call, reply: Answer | NoAnswer, account: Account, seconds: float) -> None:
        """See Meter."""

    def accepted(self, origin: Origin, state: MarkState, due_at: datetime | None) -> None:
        """See Meter."""

    def verdict(self, kind: Kind) -> None:
        """See Meter."""

    def notice(self, about: About) -> None:
        """See Meter."""

    def kubernetes(self, method: str, resource: str, code: int | None) -> None:
        """See Meter."""

    def watch_restarted(self, resource: str) -> None:
        """See Meter."""


NO_METER: Meter = NoMeter()


class Shown(NamedTuple):
    """How a gauge shows itself: its name without what all begin with, a sentence for people, names of its labels."""

    word: str
    meaning: str
    labels: tuple[str, ...]


class Gauge(Enum):
    """What is computed when somebody asks."""

    LEADER = Shown("leader", "1 where this process is the one that writes.", ())
    CHECK = Shown("check", "1 where a check of a probe is good, else 0.", ("probe", "check"))
    RESOURCES = Shown("resources", "DoraDeployments by status and reason of Ready.", ("ready", "reason"))
    UNREPORTED = Shown(
        "unreported_failures",
        "DoraDeployments whose change failure Datadog has not accepted, without those held back on purpose.",
        (),
    )
    OLDEST_UNREPORTED = Shown(
        "oldest_unreported_failure_seconds",
        "For how long the oldest unreported change failure has been waiting; 0 where there is none.",
        (),
    )
    QUEUE = Shown(
        "queue_length",
        "Keys in a work queue: due, delayed until a time, parked until it is their turn, or working.",
        ("queue", "state"),
    )
    QUEUE_OLDEST = Shown("queue_oldest_seconds", "For how long the oldest due key has been waiting.", ("queue",))
    ROLLOUTS = Shown("rollouts", "Rollouts that are watched.", ())
    RATE_LIMIT = Shown(
        "rate_limit_remaining",
        "Requests left in the running rate limit window; of several accounts that share the labels, the least.",
        ("site", "credentials"),
    )
    RATE_LIMIT_RESET = Shown(
        "rate_limit_reset_seconds",
        "Time until that window ends.",
        ("site", "credentials"),
    )
    WATCH_AGE = Shown(
        "watch_silent_seconds",
        "Time since a watch last said anything, bookmarks and trouble included; of several namespaces, the longest.",
        ("resource",),
    )
    BUILD = Shown("build_info", "Always 1; the labels say what runs.", ("version", "python"))
    UNIDENTIFIED = Shown("rollouts_unidentified", "Rollouts with a failed revision that cannot be identified.", ())


class Reading(NamedTuple):
    """The value of a gauge at this moment."""

    gauge: Gauge
    value: float
    labels: tuple[str, ...] = ()


Readings = Callable[[], Iterable[Reading]]

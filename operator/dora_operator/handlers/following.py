"""Following a watch: what it brings goes to an engine, and how it fares is kept for the probes.

Knows nothing of what is watched. Decides nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from dora_operator.meter import NO_METER, Meter
from dora_operator.sightings import Listed, Sighting, Trouble

logger = logging.getLogger(__name__)

STALE_SECONDS = 120.0
"""A watch speaks at least every half minute, if only of trouble. One that does not is dead, and so is the process."""


@dataclass(slots=True)
class WatchHealth:
    """How one watch fares."""

    what: str
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    may_be_absent: bool = False
    """Whether a kind that is not installed is fine."""
    listed: bool = False
    """Whether all objects were listed once."""
    absent: bool = False
    """Whether the kind is not installed, as far as was heard."""
    trouble: str = ""
    """Why nothing is watched at this moment, or nothing."""
    heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Give it time to begin."""
        self.heard_at = self.clock()

    def take_in(self, sighting: Sighting) -> bool:
        """Take note of a sighting; tell whether it ends a time of trouble."""
        self.heard_at = self.clock()
        before, self.trouble = self.trouble, sighting.message if isinstance(sighting, Trouble) else ""
        if isinstance(sighting, Listed):
            self.absent = not sighting.installed
            self.listed = self.listed or sighting.installed or self.may_be_absent
        return bool(before) and not self.trouble

    @property
    def resource(self) -> str:
        """The kind's name alone, as a label."""
        return self.what.partition(" ")[0]

    @property
    def silent_seconds(self) -> float:
        """Seconds since the watch last said anything, if only of trouble."""
        return self.clock() - self.heard_at

    def not_ready(self) -> str | None:
        """Return why decisions would be made from too little knowledge, or None."""
        if self.listed:
            return None
        return f"{self.what} are not listed yet" + (f": {self.trouble}" if self.trouble else "")

    def not_alive(self) -> str | None:
        """Return why only a new start can help, or None."""
        silent = self.silent_seconds
        return f"the watch of {self.what} says nothing since {silent:.0f} s" if silent > STALE_SECONDS else None


@dataclass(frozen=True, slots=True)
class Following:
    """One watch and who takes it in."""

    health: WatchHealth
    begin: Callable[[], AsyncIterator[Sighting]]
    """Begins the watch with a list."""
    take_in: Callable[[Sighting], None]
    recovered: Callable[[], None]
    """Called when a time of trouble is over."""
    meter: Meter = NO_METER

    async def run(self) -> None:
        """Take in everything that the watch brings, for ever."""
        async for sighting in self.begin():
            over = self.health.take_in(sighting)
            if self.health.trouble and not self.health.absent:
                self.meter.watch_restarted(self.health.resource)
            self.take_in(sighting)
            if over:
                self.recovered()

"""The health of a watch: what readiness, liveness and metrics need."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

NOT_ALIVE_SECONDS = 120.0
"""A watch whose kopf is silent replaces it after half of this. Only a new process helps one that does not."""
MAX_HANGING = 3
"""Threads of kopf that were given up and have not ended. With more, only a new process helps."""


@dataclass(slots=True)
class WatchHealth:
    """How one watch works. Written in the main loop only."""

    what: str
    """What is watched, for people."""
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    may_be_absent: bool = False
    """A kind that is not installed is as good as one without objects."""
    listed: bool = False
    """All objects were listed once."""
    absent: bool = False
    """The kind is not installed."""
    skipped: bool = False
    """The other namespaces do not wait for this one: it cannot be listed."""
    hanging: int = 0
    """Threads of kopf that were given up and have not ended."""
    answered_at: float = field(init=False)
    """When the API server last answered, or a request to it failed."""
    _problems: dict[str, str] = field(default_factory=dict)
    """By the part that does not work."""
    _logged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.answered()

    @property
    def resource(self) -> str:
        """The kind in the plural, without the namespace: a label of metrics."""
        return self.what.partition(" ")[0]

    @property
    def problem(self) -> str:
        return "; ".join(self._problems.values())

    @property
    def silent_seconds(self) -> float:
        return self.clock() - self.answered_at

    def answered(self) -> None:
        self.answered_at = self.clock()

    def failed(self, part: str, problem: str) -> None:
        """Note and log why a part (kopf, the list) does not work. A repeated problem is logged once."""
        self.answered()
        self._problems[part] = problem
        if problem not in self._logged:
            logger.warning("%s are not watched now: %s", self.what, problem)
            self._logged.add(problem)

    def works(self, part: str) -> bool:
        """Note that a part works. Return whether that ends a problem."""
        self.answered()
        if self._problems.pop(part, None) is None:
            return False
        if not self._problems:
            self._logged.clear()
            logger.info("%s are watched again", self.what)
        return True

    def installed(self, *, installed: bool) -> None:
        """Note whether the kind is installed, and log a change."""
        if not installed and not self.absent:
            level = logging.INFO if self.may_be_absent else logging.WARNING
            logger.log(level, "%s are not installed; they are watched as soon as they are", self.what)
        self.absent = not installed
        self.listed = self.listed or (self.absent and self.may_be_absent)

    def not_ready(self) -> str | None:
        """Return why decisions would miss objects, or None."""
        if self.listed or (self.skipped and not self.absent):
            return None
        problem = "their CRD is not installed" if self.absent else self.problem
        return f"{self.what} are not listed yet" + (f": {problem}" if problem else "")

    def not_alive(self) -> str | None:
        """Return why only a new process helps, or None."""
        if self.hanging > MAX_HANGING:
            return f"the watch of {self.what} has left {self.hanging} threads that do not end"
        silent = self.silent_seconds
        return f"the watch of {self.what} is silent since {silent:.0f} s" if silent > NOT_ALIVE_SECONDS else None

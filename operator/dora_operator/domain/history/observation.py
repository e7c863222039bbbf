"""One observation of a workload, whatever its kind: what the objects show now, and nothing of the past."""

from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.history.history import Cause, Workload
from dora_operator.domain.history.identity import Identity


@dataclass(frozen=True, slots=True)
class Template:
    """A pod template that still exists, and all the revision numbers that it has had, ascending."""

    pod_template_hash: str
    numbers: tuple[int, ...]
    identity: Identity
    created_time: datetime | None = None
    ready: bool = False
    """Whether one of its pods is ready."""


@dataclass(frozen=True, slots=True)
class Failing:
    """The current revision fails."""

    cause: Cause
    message: str = ""
    time: datetime | None = None
    """None: it was asked for and is not carried out yet. It may be taken back."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source reads from the objects of one workload."""

    workload: Workload
    templates: tuple[Template, ...]
    """In any order."""
    revision: int | None
    """Number of the current revision where all objects agree on it; None between two revisions: the rest is then about
    the one before."""
    current_hash: str
    stable_hash: str = ""
    """The template that was promoted last: where the kind shows only the end of an update, the current one when it has
    ended, else empty."""
    failing: Failing | None = None
    served: bool = False
    """Whether a pod of the current revision is ready."""
    began_time: datetime | None = None
    """When the current revision began, as far as the objects show it."""
    promoted_time: datetime | None = None
    """When the current revision was promoted, where it was."""

    def template_of(self, number: int) -> Template | None:
        """Return the template of a revision. Of two with one number, it is the newest number of the right one."""
        owners = [template for template in self.templates if number in template.numbers]
        return min(owners, key=lambda template: self._rank(template, number), default=None)

    def _rank(self, template: Template, number: int) -> tuple[bool, bool, str]:
        name = template.pod_template_hash
        return template.numbers[-1] != number, name != self.current_hash, name

"""What should be marked, from every act of the controller as it happens. It shares no code with the decision.

This is the table of docs/rollouts.md, written forwards: it knows what each revision was and forgets nothing.
"""

from dataclasses import dataclass, field

Mark = tuple[str, str]
"""How the failure stands (Aborted, Undone, RolledBack, Recovered), and the link in words or nothing."""


@dataclass
class Fault:
    """The failure of one revision."""

    version: str
    kind: str
    is_open: bool = True
    link: str = ""


@dataclass
class Truth:
    """The story of one Rollout. Links are those of `abortRecovery: NextVersion`."""

    marks_replaced: bool = False
    ages: dict[str, int] = field(default_factory=dict)
    """The first revision of each version."""
    stable: list[tuple[int, str]] = field(default_factory=list)
    """Every deployment: number and version."""
    current: tuple[int, str] = (0, "")
    faults: dict[int, Fault] = field(default_factory=dict)
    ever: set[int] = field(default_factory=set)
    """Numbers of the revisions that were ever marked, for a moment too."""
    is_promoted: bool = True

    @property
    def marks(self) -> dict[int, Mark]:
        """Return what should stand now, by number."""
        return {number: (fault.kind, fault.link) for number, fault in self.faults.items()}

    def begins(self, number: int, version: str, *, is_stable: bool) -> None:
        """The controller makes a revision the current one; `is_stable`: of the very template that is stable."""
        former_number, former = self.current
        self.ages.setdefault(version, number)
        if not self.is_promoted and self._older(version, former) and self._older(self.stable[-1][1], former):
            self._fails(former_number, former, "Undone")
        self.current, self.is_promoted = (number, version), False
        if self.stable and self._older(version, self.stable[-1][1]):
            marked, its_version = self._marked_by_rollback_to(version)
            for other, fault in self.faults.items():
                if fault.is_open and fault.kind == "RolledBack" and other != marked:
                    fault.kind, fault.is_open = "Recovered", False
            self._fails(marked, its_version, "RolledBack")
        if is_stable:
            self.promotes(is_new=not self.stable)

    def asks_to_abort(self) -> None:
        """A person aborts, and the controller may never carry it out."""
        self.ever.add(self.current[0])

    def aborts(self) -> None:
        """The controller aborts the current revision."""
        if self.current[1] != self.stable[-1][1]:
            self._fails(*self.current, "Aborted")

    def promotes(self, *, is_new: bool = True) -> None:
        """The current revision becomes stable; a return to the stable template deploys nothing."""
        _, version = self.current
        before = self.stable[-1][1] if self.stable else ""
        self.is_promoted = True
        self.stable += [self.current] if is_new else []
        for fault in self.faults.values():
            if fault.is_open:
                self._ends(fault, version, is_return=version == before)

    def _ends(self, fault: Fault, version: str, *, is_return: bool) -> None:
        is_rollback = fault.kind == "RolledBack"
        if fault.version == version or (is_rollback and is_return):
            fault.kind, fault.is_open = "Recovered", False
        elif is_rollback or (not is_return and self._older(fault.version, version)):
            fault.is_open = False
            fault.link = f"{'rollback' if self._older(version, fault.version) else 'rollforward'} {version}"

    def _fails(self, number: int, version: str, kind: str) -> None:
        known = self.faults.get(number)
        if known is None or not known.is_open:
            self.faults[number] = Fault(version, kind)
            self.ever.add(number)

    def _marked_by_rollback_to(self, target: str) -> tuple[int, str]:
        if self.marks_replaced:
            return self.stable[-1]
        before = ["", *(version for _, version in self.stable)]
        forward = [p for last, p in zip(before, self.stable, strict=False) if not last or self._older(last, p[1])]
        deployed = [number for number, version in self.stable if version == target]
        since = deployed[-1] if deployed else self.ages[target]  # it counts as deployed where it appeared
        return next(promotion for promotion in forward if promotion[0] > since and promotion[1] != target)

    def _older(self, one: str, other: str) -> bool:
        return self.ages[one] < self.ages[other]

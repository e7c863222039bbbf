"""What should be asked of Datadog, from every action as it happens; nothing is forgotten.

This is the table of docs/rollouts.md with its decided gaps (`domain/rollout/__init__.py`), written forwards from the
actions instead of backwards from the levels. It shares no code with the decision.
"""

from dataclasses import dataclass, field

from tests.unit.rollout.operator_stand_in import Asked


@dataclass
class Mark:
    """A version that failed."""

    revision: int
    cause: int
    is_rollback: bool
    is_open: bool = True
    is_failure: bool = True
    link: str = ""


@dataclass
class Model:
    """The story of one Rollout."""

    marks_replaced: bool = False
    keeps_marks: bool = False
    asked: list[Asked] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    first_seen: dict[str, int] = field(default_factory=dict)
    promotions: list[tuple[int, str]] = field(default_factory=list)
    current: tuple[int, str] = (0, "")
    aborted: set[str] = field(default_factory=set)
    """The versions that an abort marked."""

    @property
    def stable(self) -> str:
        """The version that was promoted last."""
        return self.promotions[-1][1]

    def starts(self, number: int, version: str, *, is_stable: bool) -> None:
        """The controller begins a revision; `is_stable`: of the very pod template that is stable."""
        former_number, former = self.current
        is_former_promoted = not self.promotions or self.promotions[-1][0] == former_number
        self.current = (number, version)
        self.first_seen.setdefault(version, number)
        if not is_former_promoted and self._older(version, former) and self._older(self.stable, former):
            self._fails(former, Mark(former_number, number, is_rollback=False))
        if self.promotions and self._older(version, self.stable):
            revision, marked = self._marked_by_rollback_to(version)
            self._fails(marked, Mark(revision, number, is_rollback=True))
        if is_stable:
            self.promoted()

    def aborts(self) -> None:
        """The controller aborts the current revision."""
        number, version = self.current
        if version != self.stable:
            self.aborted.add(version)
            self._fails(version, Mark(number, number, is_rollback=False))

    def promoted(self) -> None:
        """The current revision becomes stable."""
        _, version = self.current
        replaced = self.stable if self.promotions else version
        self.promotions.append(self.current)
        ended = [self._ends(failed, mark, version, replaced) for failed, mark in self._open_marks()]
        asked = [each for each in ended if each is not None]
        self.asked += [each for each in asked if each[1]] + [each for each in asked if not each[1]]

    def _open_marks(self) -> list[tuple[str, Mark]]:
        still_open = [(failed, mark) for failed, mark in self.marks.items() if mark.is_open]
        return sorted(still_open, key=lambda each: (each[1].cause, -each[1].revision))

    def _ends(self, failed: str, mark: Mark, version: str, replaced: str) -> Asked | None:
        is_back = version == replaced
        if version == failed or (mark.is_rollback and is_back):
            mark.is_open = False
            if self.keeps_marks:
                return None
            mark.is_failure, mark.revision, mark.cause = False, self.current[0], self.current[0]
            return failed, False, ""
        if is_back or not (mark.is_rollback or self._older(failed, version)):
            return None
        mark.is_open = False
        mark.link = f"{'rollback' if self._older(version, failed) else 'rollforward'} {version}"
        return failed, True, mark.link

    def _fails(self, version: str, mark: Mark) -> None:
        known = self.marks.get(version)
        if known and known.cause >= mark.cause:
            return
        is_marked = known is not None and known.is_failure and known.revision == mark.revision
        if known and is_marked and (known.link or not mark.is_rollback):
            return
        self.marks[version] = mark
        if not is_marked:
            self.asked.append((version, True, ""))

    def _marked_by_rollback_to(self, target: str) -> tuple[int, str]:
        if self.marks_replaced:
            return self.promotions[-1]
        before = [(0, ""), *self.promotions]
        deployed = [each for last, each in zip(before, self.promotions, strict=False) if last[1] != each[1]]
        since = [number for number, version in self.promotions if version == target] or [self.first_seen[target]]
        return next(each for each in deployed if each[0] > since[-1])

    def _older(self, one: str, other: str) -> bool:
        return self.first_seen[one] < self.first_seen[other]

"""How a walk is printed: its figures, and its functions as a numbered list."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

MAIN_THREAD = "MainThread"
WORKERS = 0
"""The event of code that no context ties to one: behind the work queue."""


class Call(NamedTuple):
    """A function that was entered."""

    file: str
    name: str
    line: int
    task: str
    event: int


class Step(NamedTuple):
    """Functions of one file that were entered one after the other."""

    file: str
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """The functions that were entered because of one event."""

    name: str
    everything: list[Call]
    """With what ran at the same time because of other events, above all what the watch reports of our own writes."""
    event: int

    @property
    def calls(self) -> list[Call]:
        """Return the calls of this event and of the workers; in the threads of kopf there are no workers."""
        return [
            call
            for call in self.everything
            if call.event == self.event or (call.event == WORKERS and call.task.startswith(MAIN_THREAD))
        ]

    @property
    def files(self) -> list[str]:
        """Return the files, in the order in which they were entered first."""
        return list(dict.fromkeys(call.file for call in self.calls))

    @property
    def moves(self) -> int:
        """Count the calls that follow one in another file."""
        return _moves(self.calls)

    def steps(self) -> list[Step]:
        """Return the walk file by file; a function that is called again and again in a row is named once."""
        return [
            Step(file, tuple(name for name, _ in groupby(call.name for call in calls)))
            for file, calls in groupby(self.calls, key=lambda call: call.file)
        ]

    def moves_between(self) -> Counter[tuple[str, str]]:
        """Count the moves from each file to each other."""
        files = [call.file for call in self.calls]
        return Counter((one, other) for one, other in pairwise(files) if one != other)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "name": self.name,
            "files": self.files,
            "calls": len(self.calls),
            "moves": self.moves,
            "walk": [call._asdict() for call in self.calls],
        }

    def summary(self) -> str:
        """Say the figures in a line."""
        return f"{self.name}: {len(self.files)} files, {len(self.calls)} calls, {self.moves} moves between files"

    def summary_with_others(self) -> str:
        """Say the figures with everything that ran at the same time."""
        files = len({call.file for call in self.everything})
        return (
            f"with other events meanwhile: {files} files, {len(self.everything)} calls, {_moves(self.everything)} moves"
        )

    def lines(self) -> Iterator[str]:
        """Return the walk as a numbered list."""
        for number, (step, repeats) in enumerate(_collapsed(self.steps()), 1):
            again = f"   (these {len(step)} lines {repeats} times)" if repeats > 1 else ""
            for place, each in enumerate(step):
                label = f"{number:3}." if place == 0 else "    "
                yield f"{label} {each.file:32} {', '.join(each.functions)}{again if place == 0 else ''}"

    def tasks(self) -> Iterator[str]:
        """Return what each task entered: the first function of it that runs in one, and its figures."""
        for calls in _by_task(self.calls):
            files = len({call.file for call in calls})
            yield f"{files:4} files {len(calls):5} calls {_moves(calls):5} moves  {calls[0].file} {calls[0].name}"

    def causes(self) -> Iterator[str]:
        """Return where moves come from: the pairs of files, the most frequent first."""
        for (one, other), count in self.moves_between().most_common():
            yield f"{count:5}  {one} -> {other}"


def _moves(calls: list[Call]) -> int:
    return sum(one.file != other.file for one, other in pairwise(calls))


def _by_task(calls: list[Call]) -> list[list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.task, []).append(call)
    return list(found.values())


def _collapsed(steps: list[Step]) -> Iterator[tuple[list[Step], int]]:
    """Join steps that are repeated in a row: of several lengths of a repeated part, the one that saves most."""
    at = 0
    while at < len(steps):
        length, repeats = max(_repeats(steps, at), key=lambda each: each[0] * (each[1] - 1), default=(1, 1))
        if repeats == 1:
            length = 1
        yield steps[at : at + length], repeats
        at += length * repeats


def _repeats(steps: list[Step], at: int) -> Iterable[tuple[int, int]]:
    for length in range(1, min(8, len(steps) - at) + 1):
        part, count = steps[at : at + length], 1
        while steps[at + count * length : at + (count + 1) * length] == part:
            count += 1
        yield length, count

"""Runs the operator as `dora-operator run` does, and records which of its functions are called after an event.

Run as a process: python tracer.py OUTPUT MARKS, where MARKS is JSON: {"start": [...], NAME: [...]}, each function as
"file:name". SIGUSR1 arms it: from the next call of a start function on, every call of the package is recorded, and when
a marked function first waits and when it ends. SIGUSR2 writes that to OUTPUT. Uses the standard library alone: it runs
with the packages of the code that it traces.
"""

import asyncio
import json
import opcode
import os
import signal
import sys
import threading
from contextvars import ContextVar
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

PACKAGE = f"{os.sep}dora_operator{os.sep}"
SUSPENDED = opcode.opmap["YIELD_VALUE"]
EVENT: ContextVar[int] = ContextVar("event", default=0)
"""The event because of which code runs, as far as contexts carry it: not through the work queue, where it is 0."""


class Place(NamedTuple):
    """A function of the operator."""

    file: str
    name: str
    line: int
    instructions: bytes

    @property
    def function(self) -> str:
        """Return how marks name it."""
        return f"{self.file}:{self.name}"


class Recorder:
    """A profile function for all threads. A call counts when a function starts, not when a coroutine goes on."""

    def __init__(self, output: Path, marks: dict[str, list[str]]) -> None:
        self._output = output
        self._start = frozenset(marks["start"])
        self._ends = {function: name for name, functions in marks.items() for function in functions if name != "start"}
        self._places: dict[CodeType, Place | None] = {}
        self._armed = False
        self._records = False
        self._events = 0
        self._first_event = 0
        self._calls: list[tuple[str, str, int, str, int]] = []
        self._waited: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def arm(self, *_: object) -> None:
        """Record from the next call of a start function on."""
        self._calls, self._waited, self._ended = [], {}, {}
        self._records, self._armed = False, True

    def write(self, *_: object) -> None:
        """Write what was recorded, and stop recording."""
        self._records = self._armed = False
        partial = self._output.with_suffix(".partial")
        found = {"calls": self._calls, "event": self._first_event, "waited": self._waited, "ended": self._ended}
        partial.write_text(json.dumps(found))
        partial.rename(self._output)

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take an event of the interpreter."""
        if not (self._armed or self._records) or event not in {"call", "return"}:
            return
        code = frame.f_code
        place = self._places[code] if code in self._places else self._place(code)
        if place is None:
            return
        if event == "return":
            self._left(place, frame.f_lasti)
        elif place.instructions[frame.f_lasti + 1] == 0:  # the argument of RESUME: the function starts
            self._entered(place)

    def _entered(self, place: Place) -> None:
        if place.function in self._start:
            self._events += 1
            EVENT.set(self._events)
            if self._armed:
                self._first_event, self._armed, self._records = self._events, False, True
        if self._records:
            self._calls.append((place.file, place.name, place.line, _task(), EVENT.get()))

    def _left(self, place: Place, instruction: int) -> None:
        waits = place.instructions[instruction] == SUSPENDED
        mark = self._ends.get(place.function)
        if self._records and mark is not None:
            (self._waited if waits else self._ended).setdefault(mark, len(self._calls))
        if place.function in self._start and not waits:
            EVENT.set(0)  # a task of kopf handles the next event of the object too

    def _place(self, code: CodeType) -> Place | None:
        """Return the place of a function, or None for what is not the operator's or is a module's body."""
        _, inside, file = code.co_filename.rpartition(PACKAGE)
        place = None
        if inside and code.co_name != "<module>" and not code.co_filename.startswith("<"):
            name = code.co_qualname.replace(".<locals>", "")
            place = Place(file, name, code.co_firstlineno, code.co_code)
        self._places[code] = place
        return place


def _task() -> str:
    """Return what distinguishes the tasks that run at the same time; callbacks of a loop are one of them."""
    thread = threading.current_thread().name
    loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises outside of a loop
    task = asyncio.current_task(loop) if loop is not None else None
    return thread if task is None else f"{thread} {task.get_name()}"


def main() -> None:
    """Run the operator until it ends."""
    output, marks = sys.argv[1:]
    recorder = Recorder(Path(output), json.loads(marks))
    signal.signal(signal.SIGUSR1, recorder.arm)
    signal.signal(signal.SIGUSR2, recorder.write)
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    sys.argv = ["dora-operator", "run"]
    (script,) = (each for each in entry_points(group="console_scripts") if each.name == "dora-operator")
    sys.exit(script.load()())


if __name__ == "__main__":
    main()

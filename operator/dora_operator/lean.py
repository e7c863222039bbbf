"""Keeps Python lean: imports without optional parts that nothing here uses, and a garbage collector with less to do."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let imports of these packages fail meanwhile, as if they were not installed; those that are loaded stay."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None: Python reference, 5.3.1
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


YOUNG_OBJECTS = 10_000
"""How many new objects there are before the garbage collector looks; Python's own 700 are made by one reconcile."""
LATER_SECONDS = 1.0
"""When, after the first list, all objects are looked through once: what was due then has gone first."""


def collect_seldom() -> None:
    """Let the garbage collector look less often. From the first line on: a page of a list alone has 15,000 objects."""
    gc.set_threshold(YOUNG_OBJECTS)


def leave_the_loaded_alone() -> None:
    """Let the garbage collector pass over what is loaded by now: looking through ten thousand objects takes a pause."""
    gc.collect()
    gc.freeze()

"""Imports libraries without optional parts of theirs that cost a start time and memory, and that nothing here uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


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


def never_looked_for_again(*names: str) -> None:
    """Let imports of packages that are not installed fail at once: Python else looks through every folder each time."""
    for name in names:
        if name not in sys.modules and find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment] # Python reference, 5.3.1

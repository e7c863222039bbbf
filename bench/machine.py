"""How busy the machine is: a figure in milliseconds says little without it."""

import os
import time
from pathlib import Path

SAMPLE_SECONDS = 3.0


class Busy:
    """Counts from its start how much of all processors was in use, by any process."""

    def __init__(self) -> None:
        self._begun = _ticks()

    def share(self) -> float:
        """Return the share since then, between 0 and 1."""
        idle, total = (now - then for now, then in zip(_ticks(), self._begun, strict=True))
        return 1 - idle / total if total else 0.0


def busy_with_others() -> float:
    """Return the share that is in use before a benchmark begins."""
    busy = Busy()
    time.sleep(SAMPLE_SECONDS)
    return busy.share()


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, on all processors together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processors() -> int:
    """Return how many there are."""
    return os.cpu_count() or 1


def _ticks() -> tuple[int, int]:
    """Return idle and all ticks of the kernel's clock; guests are counted among the others already."""
    counts = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return counts[3] + counts[4], sum(counts)

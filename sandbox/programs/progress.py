"""Shows a person how far a build is: one line that moves on a terminal, a line now and then elsewhere."""

import sys
import time
from dataclasses import dataclass, field

QUIET_SECONDS = 15.0
"""Longest silence where the output is no terminal, so that nobody takes the build for dead."""


@dataclass(slots=True)
class Progress:
    """Progress of a list of builds."""

    total: int
    expected_seconds: int
    started: float = field(default_factory=time.monotonic)
    _last: float = 0.0
    _wide: int = 0

    def say(self, done: int, name: str, packages: int) -> None:
        """Show that `packages` Go packages of this program are compiled, after `done` whole programs."""
        now = time.monotonic()
        terminal = sys.stdout.isatty()
        if now - self._last < (0.2 if terminal else QUIET_SECONDS):
            return
        self._last = now
        passed = now - self.started
        line = f"  building {name} ({done + 1} of {self.total}): {packages} packages, {_clock(passed)} of about"
        line += f" {_clock(max(self.expected_seconds, passed))}"
        if terminal:
            print("\r" + line.ljust(self._wide), end="", flush=True)
            self._wide = len(line)
        else:
            print(line, flush=True)

    def finish(self, name: str, seconds: float) -> None:
        """Say that a program is ready."""
        line = f"  {name} built in {_clock(seconds)}"
        print(("\r" if self._wide else "") + line.ljust(self._wide), flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

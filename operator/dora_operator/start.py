"""The first lines of the process: SIGTERM ends it from here on, also as process 1 of a container.

The kernel drops a signal that process 1 does not handle; kopf handles it a second later, when it is imported and runs.
"""

import signal
import sys
from typing import NoReturn

from dora_operator import lean


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _leave)
    lean.collect_seldom()
    from dora_operator.cli import app  # noqa: PLC0415 - half a second

    app()


def _leave(*_: object) -> NoReturn:
    sys.exit(0)

"""A program in the background: started with a log of its own, never outliving the process that started it.

Knows nothing of Kubernetes.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import loopback
from sandbox.programs.cache import SandboxError

POLL_SECONDS = 0.05
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
OF_THE_SANDBOX = ("DORA_OPERATOR_CACHE", "DORA_OPERATOR_KUBERNETES")
"""Variables of this sandbox: an operator refuses to start with variables of its prefix that it does not know."""
CONTROL_PLANE = {"GOGC": "400"}
"""For Go programs of the control plane: a real one's heap is large and seldom collected. Over so few objects,
Go's own rule would collect several times a second, for a quarter of the API server's processor time."""


@dataclass(slots=True)
class Background:
    """A running program."""

    name: str
    command: tuple[str, ...]
    log: Path
    popen: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, name: str, command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
    ) -> "Background":
        """Start a program; its output goes to a file of the folder. Variables are added to the environment."""
        log, own = folder / f"{name}.log", loopback.direct(os.environ)
        with log.open("ab") as output:
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={key: value for key, value in own.items() if key not in OF_THE_SANDBOX} | dict(variables or {}),
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop programs in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one call of libc
            )
        return cls(name, tuple(command), log, popen)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until the program is ready.

        Raises:
            SandboxError: it ended, or was not ready in time; the message shows its last words.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.popen.poll() is not None:
                raise SandboxError(
                    f"{self.name} ended with {self.popen.returncode}; its last words:\n{self.last_words()}"
                )
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{self.name} is not ready after {seconds:.0f} s; its last words:\n{self.last_words()}"
                )
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """Return the end of the log, and where the whole of it is."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(["  " + line[:300] for line in lines] + [f"  (all of it: {self.log})"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program, if it still runs."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, number)

    def stop(self) -> None:
        """End the program: politely, then not."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self.popen.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the thread that started it ends, SIGKILL included.

    Clusters are started by main threads, so the thread ends with the process.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

"""Runs the Go toolchain with its caches below ours, and finds words for its failures."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.programs.cache import Cache, SandboxError
from sandbox.programs.catalogue import MODULE_FOLDER, Program

TAIL_LINES = 25
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Compiler:
    """One `go build` under way."""

    program: Program
    process: subprocess.Popen[str]
    output: Path
    packages: int = 0
    reader: threading.Thread = field(init=False)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def __post_init__(self) -> None:
        """Begin to follow the output."""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def running(self) -> bool:
        """Wait a moment and return whether the build still runs."""
        try:
            self.process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return True
        self.reader.join()  # its last words count most
        return False

    def keep(self, path: Path) -> None:
        """Move the finished program into the cache, whole.

        Raises:
            SandboxError: the build failed.
        """
        if self.process.returncode != 0 or not self.output.exists():
            raise SandboxError(
                f"go build {self.program.package} failed with {self.process.returncode}; its last words:\n  "
                + "\n  ".join(self.tail)
                + "\nRun the same command again: what was built is kept. If it fails again, read the words above:"
                " a full disk, no network, and too little memory are the usual causes."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.output.replace(path)

    def read(self) -> None:
        """Follow the build's output: with -v, one line is one package."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.tail.append(line.rstrip())
            if not line.startswith(("go: ", "#", "\t")):
                self.packages += 1

    def stop(self) -> None:
        """End the build and everything that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def compiling(go: Path, program: Program, cache: Cache) -> Iterator[Compiler]:
    """Run the build of one program; whatever happens, no process of it stays behind."""
    output = cache.work / f"{program.name}.unfinished"
    arguments = ("build", "-v", "-mod=readonly", "-trimpath", "-ldflags", program.linker_flags, "-o", str(output))
    # A Ctrl-C between the start of the process and the `try` would leave it behind.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    process = subprocess.Popen(
        [str(go), *arguments, program.package],
        cwd=MODULE_FOLDER / program.module,
        env=environment(go, cache),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    compiler = Compiler(program, process, output)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield compiler
    finally:
        compiler.stop()
        compiler.reader.join()
        assert process.stderr is not None
        process.stderr.close()


def go_command(go: Path, cache: Cache | None, *arguments: str, module: str = ".") -> str:
    """Return what a short Go command prints; `module` is the folder in which it runs.

    Raises:
        SandboxError: it failed.
    """
    result = subprocess.run(
        [str(go), *arguments],
        cwd=MODULE_FOLDER / module,
        env=environment(go, cache),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SandboxError(f"go {' '.join(arguments)} failed: {result.stderr.strip()[-500:]}")
    return result.stdout.strip()


def environment(go: Path, cache: Cache | None) -> dict[str, str]:
    """Return the environment of a Go command; Go's proxy and certificate settings stay the user's own."""
    variables = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOROOT", "GOBIN"}}
    variables |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    variables["PATH"] = f"{go.parent}{os.pathsep}{variables.get('PATH', os.defpath)}"
    if cache is not None:
        work = cache.work
        (work / "tmp").mkdir(parents=True, exist_ok=True)
        variables |= {
            "GOPATH": str(work / "path"),
            "GOMODCACHE": str(work / "modules"),
            "GOCACHE": str(work / "objects"),
            "GOTMPDIR": str(work / "tmp"),
        }
    return variables

"""`make mutants`: mutation tests of domain/. `python -m tools.mutants plan rules`: of the files with such a path."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tools.mutants.report import report
from tools.mutants.workspace import WORKSPACE, prepare, sources

OUTCOMES = WORKSPACE / "outcomes.json"


def main(words: Sequence[str]) -> int:
    """Make the mutants, run the tests of each, and print what survived."""
    began = time.monotonic()
    mutants = prepare(sources(words))
    names = [name for file in mutants.values() for name in file]
    sys.stdout.write(f"{len(names)} mutants; running the tests without them ...\n")
    sys.stdout.flush()
    done = subprocess.run(  # noqa: S603 - our own runner
        [sys.executable, "-m", "tools.mutants.runner", str(OUTCOMES)],
        cwd=WORKSPACE,
        env=os.environ | {"PYTHONPATH": f"operator{os.pathsep}."},
        input="\n".join(names),
        text=True,
        check=False,
    )
    if done.returncode == 0:
        outcomes = json.loads(OUTCOMES.read_text(encoding="utf-8"))
        sys.stdout.write("".join(f"{line}\n" for line in report(mutants, outcomes)))
        sys.stdout.write(f"{(time.monotonic() - began) / 60:.0f} minutes on {os.cpu_count()} cores\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

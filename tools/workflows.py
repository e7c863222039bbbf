"""`python -m tools.workflows`: check .github/ with actionlint and zizmor, as `make check` does, without a network.

actionlint runs shellcheck on the shell steps too, if shellcheck is on the PATH.
"""

import subprocess
import sys
from pathlib import Path

from sandbox.programs.build import ensure
from sandbox.programs.cache import SandboxError
from sandbox.programs.catalogue import ACTIONLINT

ROOT = Path(__file__).parents[1]


def commands(root: Path, actionlint: Path) -> list[list[str]]:
    """Return the commands; each fails on any finding."""
    files = [str(path) for path in sorted((root / ".github" / "workflows").glob("*.y*ml"))]
    zizmor = str(Path(sys.executable).with_name("zizmor"))
    return [
        [str(actionlint), "-no-color", *files],
        [zizmor, "--offline", "--persona", "pedantic", "--no-progress", "--quiet", str(root / ".github")],
    ]


def main(root: Path = ROOT) -> int:
    """Run both, and print their findings."""
    try:
        actionlint = ensure([ACTIONLINT])[ACTIONLINT.name]
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    results = [subprocess.run(command, cwd=root, check=False) for command in commands(root, actionlint)]  # noqa: S603 - fixed programs
    return 1 if any(result.returncode for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tools.alerts`: check and test the alert rules with the real promtool, as `make compat` does."""

import subprocess
import sys
from pathlib import Path

from sandbox.programs.build import ensure
from sandbox.programs.cache import SandboxError
from sandbox.programs.catalogue import PROMTOOL

ROOT = Path(__file__).parents[1]
RULES = ROOT / "charts" / "dora-operator" / "rules" / "dora-operator.yaml"
TESTS = ROOT / "tests" / "alerts" / "dora-operator.yaml"


def main() -> int:
    """Run promtool, and print what it finds."""
    try:
        promtool = ensure([PROMTOOL])[PROMTOOL.name]
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    commands = (["check", "rules", "--lint=all", "--lint-fatal", str(RULES)], ["test", "rules", str(TESTS)])
    results = [subprocess.run([promtool, *words], check=False) for words in commands]  # noqa: S603 - our own promtool
    return 1 if any(result.returncode for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

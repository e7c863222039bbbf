"""`python -m tools.walk`, better known as `make walk`."""

import argparse
import json
import sys
from collections.abc import Iterator

from bench.earlier import COMMIT
from sandbox.programs.cache import SandboxError
from tools.walk.report import Walk
from tools.walk.scenarios import Code, earlier_code, walks


def main() -> int:
    """Trace both walks some times, and print the median of each."""
    chosen = _arguments()
    try:
        found = list(walks(earlier_code() if chosen.earlier else Code(), chosen.times))
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    every = [list(group) for group in zip(*found, strict=True)]
    medians = [sorted(group, key=lambda walk: walk.moves)[len(group) // 2] for group in every]
    if chosen.json:
        lines = [json.dumps([walk.to_json() for walk in medians], indent=1)]
    else:
        lines = [line for walk, group in zip(medians, every, strict=True) for line in _lines(walk, group, chosen)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.walk", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often each event is traced")
    parser.add_argument("--earlier", action="store_true", help=f"trace commit {COMMIT}")
    parser.add_argument("--json", action="store_true", help="print every call as JSON")
    parser.add_argument(
        "--moves", action="store_true", help="print what each task entered, and between which files the moves are"
    )
    return parser.parse_args()


def _lines(walk: Walk, group: list[Walk], chosen: argparse.Namespace) -> Iterator[str]:
    yield walk.summary()
    yield f"     {walk.summary_with_others()}"
    yield f"     moves of all {len(group)} runs: {', '.join(str(each.moves) for each in group)}"
    yield from walk.lines()
    if chosen.moves:
        yield "tasks:"
        yield from walk.tasks()
        yield "moves:"
        yield from walk.causes()
    yield ""


if __name__ == "__main__":
    sys.exit(main())

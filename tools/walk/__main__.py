"""`python -m tools.walk`, better known as `make walk`."""

import argparse
import json
import sys

from sandbox.programs.cache import SandboxError
from tools.walk.report import Walk
from tools.walk.scenarios import Code, walks


def main() -> int:
    """Trace both walks, and print the shortest of each: what the others have more happened beside it."""
    chosen = _arguments()
    try:
        found = list(walks(Code(), chosen.times))
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    every = [list(group) for group in zip(*found, strict=True)]
    shortest = [min(group, key=lambda walk: walk.moves) for group in every]
    if chosen.json:
        print(json.dumps([walk.to_json() for walk in shortest], indent=1))
        return 0
    for walk, group in zip(shortest, every, strict=True):
        _print(walk, group, moves=chosen.moves)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.walk", description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each event is traced")
    parser.add_argument("--json", action="store_true", help="print every call as JSON")
    parser.add_argument("--moves", action="store_true", help="print between which files the moves are")
    return parser.parse_args()


def _print(walk: Walk, group: list[Walk], *, moves: bool) -> None:
    print(walk.summary())
    print(f"     moves of all {len(group)} runs: {', '.join(str(each.moves) for each in group)}")
    for line in walk.lines():
        print(line)
    if moves:
        print("tasks:")
        for line in walk.tasks():
            print(line)
        print("moves:")
        for line in walk.causes():
            print(line)
    print()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.truth`, better known as `make truth`."""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.truth.picture import picture
from bench.truth.report import TRUTH, figures, markdown, summary, tables
from bench.truth.run import Results, Size, run


def main() -> int:
    """Simulate, and show the tables."""
    chosen = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 170, highlight=False)
    console.print(f"Simulating {chosen.seeds} years of {chosen.services} services ...")
    results = run(Size(chosen.seeds, chosen.services), chosen.processes, say=console.print)
    if chosen.markdown is not None:
        chosen.markdown.write_text(markdown(results) + "\n")
    if chosen.svg is not None:
        chosen.svg.write_text(picture(results))
    _show(console, results)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.truth", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="simulated years")
    parser.add_argument("--services", type=int, default=20, help="services in each")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    parser.add_argument("--svg", type=Path, help="write the picture for the README to this file")
    return parser.parse_args()


def _show(console: Console, results: Results) -> None:
    console.print(summary(results))
    for table in tables(results):
        shown = Table(title=table.title, title_justify="left")
        for number, heading in enumerate(table.headings):
            shown.add_column(heading, justify="right" if number else "left")
        for name, *values in table.rows:
            shown.add_row("truth" if name == TRUTH else name, *values)
        console.print(shown)
    for figure in figures(results):
        console.print(f"{'reached    ' if figure.is_reached else 'NOT REACHED'} {figure.text}")


if __name__ == "__main__":
    sys.exit(main())

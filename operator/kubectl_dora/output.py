"""What the commands print: tables and text for people, JSON, YAML and CSV for programs.

The only user of Rich. Colours only on a terminal and without NO_COLOR; text from the cluster can contain neither
markup nor control characters.
"""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dora_operator.domain.fields import to_api

UNBOUNDED = 10_000
"""Width where the output is no terminal: lines are never broken or cut off for a program that reads them."""
STYLES = {
    "ok": "green",
    "warning": "yellow",
    "failed": "bold red",
    "heading": "bold",
    "dim": "dim",
}
WIDE, JSON, YAML, CSV = "wide", "json", "yaml", "csv"
DOCUMENTS = (JSON, YAML)
"""Values of -o: for people, or for programs."""
NONE = "-"
"""In a cell without a value."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the caller: Rich would end the program with exit code 1."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return a console for people."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def show_error(subject: str, cause: str, fix: str) -> None:
    """Print an error with its fix."""
    screen = console(stderr=True)
    line = Text("error: ", style=STYLES["failed"])
    line.append(Text(f"{clean(subject)}: {clean(cause)}", style=""))
    screen.print(line, soft_wrap=True)
    screen.print(Text(f"fix: {clean(fix)}"), soft_wrap=True)


def show_note(text: str) -> None:
    """Print a remark where it cannot get into the output that a program reads."""
    console(stderr=True).print(Text(clean(text)), soft_wrap=True)


def clean(text: object) -> str:
    """Return text without characters by which an object could control the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in str(text))


def cell(value: object, style: str = "") -> Text:
    """Return a value as it stands in a table."""
    shown = NONE if value is None or value == "" else clean(value)
    return Text(shown, style=STYLES.get(style, style))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]], screen: Console | None = None) -> None:
    """Print a table as kubectl does: no lines, headings in capitals."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=STYLES["heading"], show_edge=False)
    for heading in headings:
        table.add_column(heading.upper(), no_wrap=heading != headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else cell(each) for each in row))
    (screen or console()).print(table)


def show_lines(lines: Iterable[Text | str], screen: Console | None = None) -> None:
    """Print lines of text."""
    target = screen or console()
    for line in lines:
        target.print(line if isinstance(line, Text) else Text(clean(line)))


def show_document(value: object, output: str | None) -> None:
    """Print a value for programs."""
    plain = to_plain(value)
    if output == YAML:
        import yaml  # noqa: PLC0415 - few runs need it

        sys.stdout.write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))
    else:
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def show_csv(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print comma-separated values with a line of headings. No value can become a formula of a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow(["" if value is None else _harmless(clean(value)) for value in row])
    sys.stdout.write(buffer.getvalue())


def _harmless(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "@", "-")) and not value.lstrip("+-").isdigit() else value


def to_plain(value: object) -> Any:  # noqa: ANN401, PLR0911 - what JSON can hold
    """Return a value made of what JSON has, names in camelCase, absent fields absent."""
    if hasattr(value, "__pydantic_validator__"):
        return to_api(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {_camel(name): to_plain(each) for name, each in fields.items() if each is not None}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if hasattr(value, "_fields"):  # a named tuple, such as ObjectKey
        return {name: to_plain(each) for name, each in zip(value._fields, value, strict=True)}  # type: ignore[call-overload]
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return moment(value)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def moment(time: datetime | None) -> str:
    """Return a time as Kubernetes writes it."""
    return NONE if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago something was, as kubectl shows it."""
    if since is None:
        return NONE
    return duration((now - since).total_seconds())


def duration(seconds: float) -> str:
    """Return a duration in its largest one or two units."""
    left = max(0, int(seconds))
    days, hours, minutes = left // 86_400, left // 3600 % 24, left // 60 % 60
    if days:
        return f"{days}d{hours}h" if hours and days < 10 else f"{days}d"  # noqa: PLR2004 - as kubectl
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{minutes}m" if minutes else f"{left}s"

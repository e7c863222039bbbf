"""The reference says what the code says: every reason, every setting, nothing more."""

import re
from enum import Enum
from pathlib import Path

from pydantic import AliasChoices

from dora_operator.domain.events import VERIFIED_WARNINGS, WARNINGS
from dora_operator.domain.reasons import Reason
from dora_operator.settings import Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def rows(name: str) -> dict[str, list[str]]:
    """Return the table of a page: the first cell, without its quotes, and all cells."""
    found = {}
    for line in (REFERENCE / name).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if (first := re.fullmatch(r"`(\w+)`", cells[0])) is not None:
            found[first.group(1)] = cells
    return found


def test_every_reason_is_explained() -> None:
    """Each reason has a row, and each row is a reason."""
    assert set(rows("reasons.md")) == {reason.value for reason in Reason}


def test_the_reference_knows_which_reasons_warn() -> None:
    """The column of Warning Events agrees with the code."""
    said = {reason for reason, cells in rows("reasons.md").items() if cells[2] == "yes"}
    assert said == {reason.value for reason in WARNINGS | VERIFIED_WARNINGS}


def test_every_setting_is_explained() -> None:
    """Each variable has a row with its default and its description."""
    expected = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = alias.choices[0] if isinstance(alias, AliasChoices) else f"DORA_OPERATOR_{name.upper()}"
        expected[variable] = [shown(field.default), field.description]
    assert {variable: cells[1:3] for variable, cells in rows("settings.md").items()} == expected


def shown(default: object) -> str:
    """Return a default as the page shows it; what is not set is left empty."""
    if default in (None, "", ()):
        return ""
    value = default.value if isinstance(default, Enum) else default
    if isinstance(value, tuple):
        value = ",".join(each.value if isinstance(each, Enum) else f"{each:g}" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"

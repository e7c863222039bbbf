"""`python -m tools.chart [--check]`: write the generated parts of the chart, or print which are out of date."""

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from dora_operator import crd
from dora_operator.domain.sites import Site
from tools.chart.settings import Setting, settings
from tools.chart.table import UndescribedError, table

CHART = Path(__file__).parents[2] / "charts" / "dora-operator"
BLOCK = re.compile(r"(?m)^settings:\n(?:[ #].*\n|\n(?=  ))*")
TABLE = re.compile(r"(?s)(<!-- values: [^\n]* -->\n).*(<!-- end of values -->)")
WIDTH = 120
NEEDED = ["healthPort", "namespaces", "sources"]
"""Settings that templates read too: null cannot remove them, or permissions and operator would disagree."""


def files(chart: Path) -> dict[Path, str]:
    """Return the text of each file with generated parts; parts that are written by hand are kept."""
    found = settings()
    values = BLOCK.sub(lambda _: values_block(found), (chart / "values.yaml").read_text(encoding="utf-8"), count=1)
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    readme = (chart / "README.md").read_text(encoding="utf-8")
    return {
        **{chart / "files" / name: text for name, text in crd.files().items()},
        chart / "values.yaml": values,
        chart / "values.schema.json": json.dumps(with_settings(schema, found), indent=2) + "\n",
        chart / "README.md": TABLE.sub(lambda match: f"{match[1]}{table(values)}\n{match[2]}", readme),
    }


def values_block(found: dict[str, Setting]) -> str:
    """Return `settings` of values.yaml."""
    lines = ["settings:", "  # Written by `make chart` from the operator's own settings: do not edit."]
    for name, (default, _, description) in found.items():
        lines += textwrap.wrap(
            description, WIDTH, initial_indent="  # -- ", subsequent_indent="  # ", break_on_hyphens=False
        )
        lines.append(f"  {name}: {json.dumps(default)}")
    return "\n".join(lines) + "\n"


def with_settings(schema: dict[str, Any], found: dict[str, Setting]) -> dict[str, Any]:
    """Return the schema of all values, including that of the settings and the sites."""
    schema["properties"]["datadog"]["properties"]["site"]["enum"] = [site.value for site in Site]
    schema["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "required": NEEDED,
        "properties": {name: {"description": words, **one} for name, (_, one, words) in found.items()},
    }
    return schema


def main(arguments: list[str], chart: Path = CHART) -> int:
    """Write the files, or compare them with --check."""
    try:
        wanted = files(chart)
    except UndescribedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" not in arguments:
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path.relative_to(chart.parent)} is out of date: run `make chart` and commit it\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

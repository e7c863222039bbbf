"""`python -m tools.reference [--check]`: write the generated pages of docs/reference/, or say that one is stale."""

import sys
from collections.abc import Iterable
from pathlib import Path

from dora_operator.crd import COLUMNS, HISTORY_COLUMNS, Columns, custom_resource_definition, history_definition
from tools.chart.__main__ import CHART
from tools.chart.table import table
from tools.reference.rows import Row, Schema, rows, rules

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
OF_KUBERNETES = ("apiVersion", "kind", "metadata")
HEAD = """# DoraDeployment

<!-- Written by `make reference` from the models: do not edit. -->

`dora-operator.io/v1alpha1`, namespaced. `kubectl get dora` is short for it, `kubectl get datadog` lists it too, and
`kubectl explain dora.spec --recursive` shows the same as this page. Limits and rules are enforced by the API server: no
webhook is involved.
"""
SPEC = """
## spec

What Datadog should say about one deployment.

"""
RULES = """
## What the API server refuses

Rules that join fields or say more than a limit, with the message that kubectl shows. A broken limit is refused too, in
Kubernetes' own words.

"""
STATUS = """
## status

Written by the operator alone, and only when something changed. Conditions and their reasons: [reasons](reasons.md).
Until the operator has reconciled a resource, `status.observedGeneration` is -1.

"""
HISTORY_HEAD = """# DoraHistory

<!-- Written by `make reference` from the models: do not edit. -->

`dora-operator.io/v1alpha1`, namespaced, one for each watched workload and owned by it. `kubectl get dorahist` is short
for it. Written by the operator alone. A history that was deleted is made again from what the workload still shows.

"""
CHART_HEAD = """# Values of the chart

<!-- Written by `make reference` from the chart's values.yaml: do not edit. -->

`charts/dora-operator` of the repository; its README says how to install it. `settings` are the operator's own
[settings](settings.md).

"""
COLUMNS_HEAD = """
## Columns of kubectl get

"""


def pages() -> dict[str, str]:
    """Return the text of each page, by the name of its file."""
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    return {"resource.md": resource(), "history.md": history(), "chart.md": f"{CHART_HEAD}{table(values)}\n"}


def resource() -> str:
    """Return the text of the page on the resource."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    messages = [*rules(spec, "spec"), *((rule["fieldPath"].lstrip("."), rule["message"]) for rule in _root(schema))]
    return "".join(
        (
            HEAD,
            SPEC,
            _fields(rows(spec)),
            RULES,
            _table(("where", "message"), ((f"`{where}`", words) for where, words in messages)),
            STATUS,
            _fields(rows(status)),
            _columns(COLUMNS),
        )
    )


def history() -> str:
    """Return the text of the page on histories."""
    (version,) = history_definition()["spec"]["versions"]
    fields = [row for row in rows(version["schema"]["openAPIV3Schema"]) if row.path not in OF_KUBERNETES]
    return "".join((HISTORY_HEAD, _fields(fields), _columns(HISTORY_COLUMNS)))


def _columns(columns: Columns) -> str:
    lines = ((name, f"`{path}`", "with `-o wide`" if wide else "always") for name, _, path, wide in columns)
    return COLUMNS_HEAD + _table(("column", "from", "shown"), lines)


def _root(schema: Schema) -> list[dict[str, str]]:
    return list(schema.get("x-kubernetes-validations", ()))


def _fields(found: Iterable[Row]) -> str:
    return _table(("field", "type", "meaning"), ((f"`{row.path}`", row.kind, row.meaning) for row in found))


def _table(head: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *body]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write, or with --check compare."""
    stale = []
    for name, wanted in pages().items():
        path = folder / name
        if "--check" not in arguments:
            path.write_text(wanted, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted:
            stale.append(name)
    for name in stale:
        sys.stderr.write(f"docs/reference/{name} is out of date: run `make reference` and commit it\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

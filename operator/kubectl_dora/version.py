"""`kubectl dora version`: the versions of this tool, of the operator and of its CRD."""

import asyncio
from importlib import metadata
from typing import Any

import click

from kubectl_dora.options import Options


def client_version() -> str:
    """Return the version of this package."""
    return metadata.version("dora-operator")


def run(options: Options, *, client: bool) -> None:
    """Print the versions."""
    found: dict[str, Any] = {"client": client_version()}
    if not client:
        from kubectl_dora import installation  # noqa: PLC0415 - only where a cluster is asked

        found |= asyncio.run(installation.read_versions(options))
    if options.output is not None:
        from kubectl_dora import output  # noqa: PLC0415 - Rich is imported only to print

        output.show_document(found, options.output)
        return
    click.echo(f"kubectl-dora {found['client']}")
    if not client:
        for operator in found["operators"] or ["none found"]:
            click.echo(f"operator {operator}")
        click.echo(f"CRD {found['crd']}")

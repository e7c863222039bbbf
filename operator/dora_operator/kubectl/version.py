"""`kubectl dora version`: which versions of the tool, of the operator and of its CRD meet in this cluster."""

from importlib import metadata
from typing import Any

from dora_operator.kubectl.options import Options


def client_version() -> str:
    """Return the version of this package."""
    return metadata.version("dora-operator")


def run(options: Options, *, client: bool) -> int:
    """Print the versions."""
    import asyncio  # noqa: PLC0415 - needed only to ask a cluster

    from dora_operator.kubectl import output  # noqa: PLC0415 - Rich is imported only to print

    found: dict[str, Any] = {"client": client_version()}
    if not client:
        found |= asyncio.run(_of_cluster(options))
    if options.output is not None:
        output.show_document(found, options.output)
        return 0
    lines = [f"kubectl-dora {found['client']}"]
    if not client:
        lines += [f"operator {each}" for each in found["operators"]] or ["operator none found"]
        lines.append(f"CRD {found['crd']}")
    output.show_lines(lines)
    return 0


async def _of_cluster(options: Options) -> dict[str, Any]:
    from dora_operator.kubectl.cluster import open_cluster  # noqa: PLC0415 - imports the Kubernetes client
    from dora_operator.kubectl.installation import find_installations, served_versions  # noqa: PLC0415

    async with open_cluster(options) as cluster:
        installations = await find_installations(cluster)
        served = await served_versions(cluster)
    operators = [f"{each.version} ({each.namespace}/{each.name})" for each in installations]
    return {"operators": operators, "crd": ", ".join(served) or "not installed"}

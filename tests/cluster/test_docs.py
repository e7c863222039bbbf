"""Every DoraDeployment that the documentation shows is one that the API server takes."""

import re
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    pytest.param(found, id=f"{page.relative_to(ROOT)} {number}")
    for page in PAGES
    for number, found in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1)
]


def test_there_are_examples() -> None:
    """README and the page on Rollouts show one each."""
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("manifest", EXAMPLES)
def test_an_example_is_accepted(cluster: LocalCluster, manifest: str) -> None:
    """What a reader copies works."""
    result = cluster.run_kubectl("apply", "--dry-run=server", "-f", "-", input=manifest)
    assert result.returncode == 0, result.stderr

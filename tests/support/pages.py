"""The documentation as tests read it: pages, and the blocks of YAML and of commands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "charts/dora-operator/README.md", "gitops/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
HELD_BACK = "  dryRun: true  # remove this line to send it\n"
VALUES_FILE = "values.yaml"
"""Title of a block that is a values file of the chart."""
_BLOCK = re.compile(r"(?ms)^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<body>.*?)^```$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, and where it stands."""

    where: str
    title: str
    text: str

    def objects(self) -> list[dict[str, Any]]:
        """Return the YAML documents of the block."""
        return [found for found in yaml.safe_load_all(self.text) if found is not None]


def blocks(*languages: str) -> Iterator[Block]:
    """Iterate over the blocks in these languages, in all pages."""
    for page in PAGES:
        for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), 1):
            if found["language"] in languages:
                name = f"{page.relative_to(ROOT)}, block {number}"
                yield Block(name, found["title"] or "", found["body"])


def commands() -> Iterator[tuple[str, str]]:
    """Iterate over the commands of the pages, with where each stands; lines that go on are one."""
    for block in blocks("console", "sh", "bash", "shell"):
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
            if line.startswith("#"):
                continue
            for command in re.split(r"\s+(?:&&|\|)\s+", line.split("  #")[0].strip().removeprefix("$ ")):
                yield block.where, command


def to_send(manifest: str) -> str:
    """Return a manifest of the examples without the line that holds it back, as its comment says."""
    assert manifest.count(HELD_BACK) == 1, manifest
    return manifest.replace(HELD_BACK, "")


def text() -> str:
    """Return everything that the pages say."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

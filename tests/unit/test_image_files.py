"""The files that the image is made of: a linted Dockerfile, and a list of what is inside."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT

BIN = Path(sys.executable).parent
LOCK = (ROOT / "requirements/runtime.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        pytest.param("", True, id="as it is"),
        pytest.param("RUN cd /tmp", False, id="a RUN that changes the folder"),
        pytest.param("ADD README.md /", False, id="ADD where COPY would do"),
    ],
)
def test_the_dockerfile_is_linted(tmp_path: Path, line: str, passes: object) -> None:
    """Hadolint, as `make check` runs it, on the Dockerfile with one more line."""
    copy = tmp_path / "Dockerfile"
    copy.write_text((ROOT / "Dockerfile").read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    linted = subprocess.run([BIN / "hadolint", copy], capture_output=True, text=True, check=False)
    assert (linted.returncode == 0) == passes, linted.stdout


def test_the_bill_of_materials_is_the_lock(tmp_path: Path) -> None:
    """Each package of the lock in its version, with every hash; the operator itself as the subject."""
    installed = ["--old-file", ".venv/.ready", f"BIN={BIN}"]
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(["make", "sbom", *installed], cwd=tmp_path, check=True, capture_output=True)
    bill = json.loads((tmp_path / "dist/sbom.json").read_text(encoding="utf-8"))
    assert bill["metadata"]["component"]["name"] == "dora-operator"
    found = {(each["name"].lower().replace("_", "-"), each["version"]) for each in bill["components"]}
    locked = {(name.lower().replace("_", "-"), version) for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", LOCK)}
    assert {(name.replace(".", "-"), version) for name, version in found} == {
        (name.replace(".", "-"), version) for name, version in locked
    }
    hashes = {
        one["content"] for each in bill["components"] for at in each["externalReferences"] for one in at["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:(\w+)", LOCK))

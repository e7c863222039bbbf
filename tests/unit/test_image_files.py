"""The files that the image is made of: a linted Dockerfile, and a list of what is inside."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tools import sbom

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


LABELS = ("title", "description", "licenses", "version", "revision", "source", "base.name")


def test_the_image_says_what_it_is() -> None:
    """The labels of OCI's specification; the version is the operator's."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert tuple(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", dockerfile)) == LABELS
    (version,) = re.findall(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert re.findall(r"(?m)^ARG VERSION=(.*)$", dockerfile) == [version]


def test_the_bill_of_materials_is_the_lock(tmp_path: Path) -> None:
    """Each package of the lock in its version, with every hash, but for Linux alone; the operator is the subject."""
    installed = ["--old-file", ".venv/.ready", f"BIN={BIN}"]
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE", "requirements", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(["make", "sbom", *installed], cwd=tmp_path, check=True, capture_output=True)
    written = (tmp_path / "dist/sbom.json").read_text(encoding="utf-8")
    assert not [word for word in (str(ROOT), str(tmp_path), str(Path.home()), "file:") if word in written]
    bill = json.loads(written)
    assert bill["metadata"]["component"]["name"] == "dora-operator"
    linux = re.sub(r"(?m)^.*sys_platform == 'win32'.*(\n +--hash.*)+\n", "", LOCK)
    assert linux != LOCK
    found = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    assert found == set(re.findall(r"(?m)^([\w.-]+)==(\S+)", linux))
    hashes = {
        one["content"] for each in bill["components"] for at in each["externalReferences"] for one in at["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:(\w+)", linux))


@pytest.mark.parametrize(
    ("marker", "listed"),
    [
        pytest.param("", True, id="for everybody"),
        pytest.param(" ; sys_platform == 'win32'", False, id="for Windows"),
        pytest.param(" ; platform_system != 'Windows'", True, id="for all but Windows"),
        pytest.param(" ; sys_platform == 'darwin' or os_name == 'nt'", False, id="for two others"),
    ],
)
def test_which_lines_of_the_lock_are_in_the_image(marker: str, listed: object) -> None:
    """What the marker says of Linux, whatever this machine is."""
    lock = f"first==1{marker} \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert list(sbom.installed(lock)) == [f"first==1{marker} --hash=sha256:aa --hash=sha256:bb"] * bool(listed)


def test_the_build_is_given_what_it_copies() -> None:
    """`.dockerignore` lets nothing through but what it names: a file that is copied has to be there."""
    given = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert copied
    assert [name for line in copied for name in line.split() if f"!{name}" not in given] == []

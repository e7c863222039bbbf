"""Releases: `make release VERSION=x` sets the version everywhere; the release workflow uses the other commands.

    python -m tools.release prepare 0.2.0        set the version and date the changelog's section
    python -m tools.release check v0.2.0         fail unless a tag, all files and the changelog name one version
    python -m tools.release notes 0.2.0          print the changelog's section
    python -m tools.release chart DIRECTORY ...  write the chart with the image and the home of a publisher

It publishes nothing, and commits and tags nothing.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CHART = Path("charts/dora-operator")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-rc\.[1-9]\d*)?")
UNRELEASED = "## [Unreleased]"
PLACES = (
    ("pyproject.toml", r'(?m)^version = "(.+)"$'),
    ("Dockerfile", r"(?m)^ARG VERSION=(.+)$"),
    (f"{CHART}/Chart.yaml", r"(?m)^version: (.+)$"),
    (f"{CHART}/Chart.yaml", r"(?m)^appVersion: (.+)$"),
    ("config/crd.yaml", r"(?m)^ +app\.kubernetes\.io/version: (.+)$"),
    ("config/rbac.yaml", r"(?m)^ +app\.kubernetes\.io/version: (.+)$"),
    ("config/deployment.yaml", r"(?m)^ +app\.kubernetes\.io/version: (.+)$"),
    ("config/deployment.yaml", r"(?m)^ +image: dora-operator:(.+)$"),
)
"""Files with the version, and where it is in them."""
IMAGE_IN_PAGES = r"(?<=dora-operator:)%s\b"
"""The image in commands of the documentation."""


class ReleaseError(Exception):
    """The release cannot be prepared; the message says what to do."""


def prepare(root: Path, version: str, date: str) -> list[Path]:
    """Set the version in all files, move the unreleased changes into a section, and return the changed files.

    Raises:
        ReleaseError: a bad version, uncommitted changes, or nothing to release. Nothing was written.
    """
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"{version or 'nothing'} is no version: name one, as in `make release VERSION=0.2.0` (or 0.2.0-rc.1)"
        )
    old = current(root)
    if Version(version) < Version(old):
        raise ReleaseError(f"{version} is older than the current version {old}: choose a newer one")
    if _git(root, "status", "--porcelain"):
        raise ReleaseError("there are uncommitted changes: commit or stash them first")
    if _git(root, "tag", "--list", f"v{version}"):
        raise ReleaseError(f"the tag v{version} exists already: choose a newer version")
    texts = {root / "CHANGELOG.md": released(_read(root, "CHANGELOG.md"), version, date)}
    for path, pattern in PLACES:
        text = texts.get(root / path) or _read(root, path)
        texts[root / path] = re.sub(pattern, lambda found: found[0].replace(found[1], version), text)
    metadata = root / CHART / "Chart.yaml"
    texts[metadata] = re.sub(
        r"(?m)^(  artifacthub\.io/prerelease: ).*$", rf'\g<1>"{str("-" in version).lower()}"', texts[metadata]
    )
    texts |= {page: re.sub(IMAGE_IN_PAGES % re.escape(old), version, page.read_text("utf-8")) for page in _pages(root)}
    changed = [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    for file in changed:
        file.write_text(texts[file], encoding="utf-8")
    return changed


def current(root: Path) -> str:
    """Return the version that all files name.

    Raises:
        ReleaseError: they name different ones.
    """
    found: dict[str, str] = {}
    for path, pattern in PLACES:
        named = set(re.findall(pattern, _read(root, path)))
        if not named:
            raise ReleaseError(f"{path} names no version: it must match {pattern}")
        found |= dict.fromkeys(named, path)
    if len(found) > 1:
        words = ", ".join(f"{version} in {path}" for version, path in found.items())
        raise ReleaseError(f"the files name different versions ({words}): set them to one, and run `make config`")
    return next(iter(found))


def released(changelog: str, version: str, date: str) -> str:
    """Return the changelog with the unreleased changes in a section of their own.

    Raises:
        ReleaseError: there are none, or the section exists already.
    """
    if f"## [{version}]" in changelog:
        raise ReleaseError(f"CHANGELOG.md has a section for {version} already: choose a newer version")
    if not section(changelog, "Unreleased"):
        raise ReleaseError(f"CHANGELOG.md has nothing below {UNRELEASED}: write down what has changed")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {date}", 1)


def section(changelog: str, name: str) -> str:
    """Return the text below a heading of the changelog, or nothing."""
    found = re.search(rf"(?ms)^## \[{re.escape(name)}\][^\n]*\n(.*?)(?=^## \[|^\[[^\]]+\]: |\Z)", changelog)
    return found[1].strip() if found else ""


def check(root: Path, tag: str) -> None:
    """Compare a tag with the files.

    Raises:
        ReleaseError: it is not the tag of this version.
    """
    version = current(root)
    if tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag} and the files name {version}: tag the commit of `make release`")
    notes(root, version)


def notes(root: Path, version: str) -> str:
    """Return what the changelog says about a version.

    Raises:
        ReleaseError: nothing.
    """
    found = section(_read(root, "CHANGELOG.md"), version)
    if not found:
        raise ReleaseError(f"CHANGELOG.md has no section for {version}: run `make release VERSION={version}`")
    return found


def chart(root: Path, directory: Path, image: str, digest: str, home: str) -> None:
    """Write a copy of the chart that installs an image by its digest and links to the publisher's repository.

    Raises:
        ReleaseError: the image is not REGISTRY/REPOSITORY, or a line to change is missing.
    """
    registry, _, repository = image.partition("/")
    if not repository or "." not in registry or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise ReleaseError(f"{image}@{digest} is no image: name it as REGISTRY/REPOSITORY, with its digest sha256:...")
    shutil.copytree(root / CHART, directory)
    version = current(root)
    values = directory / "values.yaml"
    text = values.read_text(encoding="utf-8")
    for line, value in (
        ('  registry: ""', f"  registry: {registry}"),
        ("  repository: dora-operator", f"  repository: {repository}"),
        ('  digest: ""', f"  digest: {digest}"),
    ):
        if text.count(f"\n{line}\n") != 1:
            raise ReleaseError(
                f"values.yaml of the chart does not have the line `{line.strip()}` once: adapt tools.release"
            )
        text = text.replace(f"\n{line}\n", f"\n{value}\n")
    values.write_text(text, encoding="utf-8")
    declared = yaml.safe_load(_read(root, f"{CHART}/Chart.yaml"))["home"]
    for path in ("Chart.yaml", "rules/dora-operator.yaml"):
        text = (directory / path).read_text(encoding="utf-8").replace(declared, home)
        (directory / path).write_text(re.sub("/(blob|raw|tree)/main/", rf"/\1/v{version}/", text), encoding="utf-8")


def _pages(root: Path) -> Iterator[Path]:
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))
    yield root / CHART / "README.md"


def _read(root: Path, path: str) -> str:
    return (root / path).read_text(encoding="utf-8")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - git


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Prepare and check a release.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, argument in (("prepare", "version"), ("check", "tag"), ("notes", "version"), ("chart", "directory")):
        commands.add_parser(name).add_argument(argument)
    for option in ("--image", "--digest", "--home"):
        commands.choices["chart"].add_argument(option, required=True)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "prepare":
            changed = prepare(root, chosen.version, time.strftime("%Y-%m-%d", time.gmtime()))
            names = "\n".join(f"  {path.relative_to(root)}" for path in changed)
            tag = f"v{chosen.version}"
            next_steps = (
                f'git commit -am "Release {chosen.version}" && git tag -s {tag} -m {tag} && git push origin HEAD {tag}'
            )
            sys.stdout.write(f"Changed:\n{names}\nRead the changes, then run:\n  {next_steps}\n")
        elif chosen.command == "check":
            check(root, chosen.tag)
        elif chosen.command == "notes":
            sys.stdout.write(f"{notes(root, chosen.version)}\n")
        else:
            chart(root, Path(chosen.directory), chosen.image, chosen.digest, chosen.home)
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

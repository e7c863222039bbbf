"""`make release` on a copy of the project: every file names the new version, or nothing is written."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.pages import ROOT
from tools import release

DIGEST = "sha256:" + "a" * 64
NEW = "97.0.0"
COPIED = ("pyproject.toml", "Dockerfile", "Makefile", "README.md", "config", "docs", "charts", "CHANGELOG.md")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a repository with what a release changes, and an unreleased change."""
    root = tmp_path / "project"
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copy(source, root / name)
    changelog = root / "CHANGELOG.md"
    text = re.sub(r"(?s)## \[Unreleased\].*", "", changelog.read_text(encoding="utf-8"))
    changelog.write_text(f"{text}## [Unreleased]\n\n### Added\n\n- Something.\n\n## [0.0.1] - 2020-01-01\n\n- First.\n")
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    """Run git with an identity of its own."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "tag.gpgSign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    """Commit everything."""
    git(root, "add", "--all")
    git(root, "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "All")


def test_every_file_names_the_new_version(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Package, image, chart, kustomize base, pages and changelog; nothing else changes, and the tag then fits."""
    old = release.current(copy)
    assert release.main(["prepare", NEW], copy) == 0
    said = capsys.readouterr().out
    changed = set(git(copy, "diff", "--name-only").split())
    assert changed >= {path for path, _ in release.PLACES} | {"CHANGELOG.md", "README.md"}
    assert all(f"  {path}\n" in said for path in changed)
    assert f"git tag -s v{NEW}" in said
    for path in changed - {"CHANGELOG.md"}:
        removed = re.findall(r"(?m)^-(?!--)(.*)$", git(copy, "diff", "--unified=0", path))
        added = re.findall(r"(?m)^\+(?!\+\+)(.*)$", git(copy, "diff", "--unified=0", path))
        assert added == [line.replace(old, NEW).replace('"true"', '"false"') for line in removed], path
    pages = "".join(path.read_text(encoding="utf-8") for path in copy.rglob("*.md") if path.name != "CHANGELOG.md")
    assert f"dora-operator:{old}" not in pages
    commit(copy)
    assert release.main(["check", f"v{NEW}"], copy) == 0
    assert release.main(["notes", NEW], copy) == 0
    assert capsys.readouterr().out == "### Added\n\n- Something.\n"


def test_the_changelog_keeps_a_place_for_the_next_changes(copy: Path) -> None:
    """The new section has its date and is between the empty section and the older ones."""
    release.prepare(copy, NEW, "2026-12-24")
    text = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## .*$", text) == [
        "## [Unreleased]",
        f"## [{NEW}] - 2026-12-24",
        "## [0.0.1] - 2020-01-01",
    ]
    assert release.section(text, "Unreleased") == ""


def test_the_first_release_keeps_the_version(copy: Path) -> None:
    """The version of the files may be released, once."""
    version = release.current(copy)
    release.prepare(copy, version, "2026-12-24")
    commit(copy)
    with pytest.raises(release.ReleaseError, match=f"has a section for {re.escape(version)} already"):
        release.prepare(copy, version, "2026-12-25")


def test_a_release_candidate_is_a_prerelease(copy: Path) -> None:
    """The annotation for Artifact Hub follows the version."""
    for version, expected in ((f"{NEW}-rc.1", "true"), (NEW, "false")):
        changelog = copy / "CHANGELOG.md"
        changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", "## [Unreleased]\n\n- Again.\n"))
        commit(copy)
        release.prepare(copy, version, "2026-12-24")
        chart = yaml.safe_load((copy / release.CHART / "Chart.yaml").read_text(encoding="utf-8"))
        assert chart["version"] == chart["appVersion"] == version
        assert chart["annotations"]["artifacthub.io/prerelease"] == expected
        commit(copy)


def dirty(root: Path) -> None:
    """Leave an uncommitted change."""
    (root / "README.md").write_text("changed")


def tagged(root: Path) -> None:
    """Have the tag already."""
    git(root, "tag", f"v{NEW}")


def nothing_new(root: Path) -> None:
    """Have no unreleased change."""
    changelog = root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("### Added\n\n- Something.\n", ""))
    commit(root)


def different(root: Path) -> None:
    """Have two versions."""
    chart = root / release.CHART / "Chart.yaml"
    chart.write_text(re.sub(r"(?m)^appVersion: .*$", "appVersion: 9.9.9", chart.read_text()))
    commit(root)


def nowhere(root: Path) -> None:
    """Have a file without a version."""
    (root / "Dockerfile").write_text("FROM scratch\n")
    commit(root)


def unchanged(_: Path) -> None:
    """Leave everything as it is."""


@pytest.mark.parametrize(
    ("arrange", "version", "words"),
    [
        pytest.param(unchanged, "", "name one, as in `make release VERSION=0.2.0`", id="no version"),
        pytest.param(unchanged, "v1.0.0", "v1.0.0 is no version: name one", id="with a v"),
        pytest.param(unchanged, "1.0", "1.0 is no version", id="two numbers"),
        pytest.param(unchanged, "1.0.0-beta", "1.0.0-beta is no version", id="another suffix"),
        pytest.param(unchanged, "01.0.0", "01.0.0 is no version", id="a leading zero"),
        pytest.param(unchanged, "0.0.1", "older than the current version", id="an older version"),
        pytest.param(dirty, NEW, "commit or stash them first", id="uncommitted changes"),
        pytest.param(tagged, NEW, f"the tag v{NEW} exists already", id="a tag that exists"),
        pytest.param(nothing_new, NEW, "write down what has changed", id="nothing to release"),
        pytest.param(different, NEW, "9.9.9 in charts/dora-operator/Chart.yaml", id="files that differ"),
        pytest.param(nowhere, NEW, "Dockerfile names no version", id="a file without a version"),
    ],
)
def test_a_release_that_cannot_be_is_refused(
    copy: Path, arrange: Callable[[Path], None], version: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what to do, and no file is changed."""
    arrange(copy)
    before = git(copy, "diff")
    assert release.main(["prepare", version], copy) == 1
    assert words in capsys.readouterr().err
    assert git(copy, "diff") == before


@pytest.mark.parametrize(
    ("tag", "words"),
    [("v0.0.0", "the tag is v0.0.0 and the files name"), ("97.0.0", "the tag is 97.0.0")],
    ids=["another version", "without a v"],
)
def test_another_tag_is_refused(copy: Path, tag: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A tag on the wrong commit publishes nothing."""
    release.prepare(copy, NEW, "2026-12-24")
    assert release.main(["check", tag], copy) == 1
    assert words in capsys.readouterr().err


def test_a_tag_without_a_section_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not prepared is not released."""
    version = release.current(copy)
    assert release.main(["check", f"v{version}"], copy) == 1
    assert f"run `make release VERSION={version}`" in capsys.readouterr().err


def test_the_published_chart_is_complete(copy: Path, tmp_path: Path) -> None:
    """It installs the image by digest and links to the publisher's repository at this version; nothing else differs."""
    out, home = tmp_path / "out", "https://github.com/someone/fork"
    options = ("--image", "ghcr.io/someone/dora-operator", "--digest", DIGEST, "--home", home)
    assert release.main(["chart", str(out), *options], copy) == 0
    image = yaml.safe_load((out / "values.yaml").read_text(encoding="utf-8"))["image"]
    assert (image["registry"], image["repository"], image["digest"]) == ("ghcr.io", "someone/dora-operator", DIGEST)
    chart = yaml.safe_load((out / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["home"] == home
    original = yaml.safe_load((copy / release.CHART / "Chart.yaml").read_text(encoding="utf-8"))["home"]
    for path in out.rglob("*"):
        assert path.is_dir() or original not in path.read_text(encoding="utf-8"), path
    for name in ("Chart.yaml", "rules/dora-operator.yaml"):
        assert "/main" not in (out / name).read_text(encoding="utf-8")
    rules = (out / "rules" / "dora-operator.yaml").read_text(encoding="utf-8")
    assert f"{home}/blob/v{release.current(copy)}/docs/alerts.md#" in rules
    same = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert same == {one.relative_to(copy / release.CHART) for one in (copy / release.CHART).rglob("*") if one.is_file()}


@pytest.mark.parametrize(
    ("image", "digest"),
    [("dora-operator", DIGEST), ("ghcr.io/a/b", "sha256:1"), ("a/b", DIGEST)],
    ids=["no registry", "half a digest", "no registry but an owner"],
)
def test_a_chart_without_a_real_image_is_refused(copy: Path, tmp_path: Path, image: str, digest: str) -> None:
    """It would install nothing."""
    options = ("--image", image, "--digest", digest, "--home", "https://example.org")
    assert release.main(["chart", str(tmp_path / "out"), *options], copy) == 1


def test_a_chart_whose_values_changed_is_refused(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image would stay the one of the repository, without a word."""
    values = copy / release.CHART / "values.yaml"
    values.write_text(values.read_text().replace('  digest: ""', "  digest: ''"))
    options = ("--image", "ghcr.io/a/b", "--digest", DIGEST, "--home", "https://example.org")
    assert release.main(["chart", str(tmp_path / "out"), *options], copy) == 1
    assert "adapt tools.release" in capsys.readouterr().err


def test_the_project_is_ready_for_a_release() -> None:
    """All files name one version today."""
    assert release.current(ROOT)

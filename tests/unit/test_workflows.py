"""The workflows: pinned actions, least permissions, clean for actionlint and zizmor, and shell steps that run."""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pages import ROOT
from tools import release, workflows

FOLDER = ROOT / ".github" / "workflows"
DIGEST = "sha256:" + "b" * 64
READ = {"contents": "read"}
TAG = "v96.0.0"


@dataclass(frozen=True)
class Step:
    """A step of a job, with the variables that it sees."""

    job: str
    spec: dict[str, Any]
    env: dict[str, str]

    @property
    def name(self) -> str:
        """How a test is called."""
        return f"{self.job}: {self.spec.get('name') or self.spec.get('uses')}"


def load(name: str) -> dict[str, Any]:
    """Return a workflow; YAML 1.1 reads the key `on` as true."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


WORKFLOWS = {path.stem: load(path.stem) for path in sorted(FOLDER.glob("*.yaml"))}
STEPS = [
    Step(f"{name}/{key}", step, {**job.get("env", {}), **step.get("env", {})})
    for name, flow in WORKFLOWS.items()
    for key, job in flow["jobs"].items()
    for step in job["steps"]
]
SHELL = [pytest.param(step, id=step.name) for step in STEPS if "run" in step.spec]
JOBS = [pytest.param(job, id=f"{name}/{key}") for name, flow in WORKFLOWS.items() for key, job in flow["jobs"].items()]


def test_there_are_three_workflows() -> None:
    """Tests for each change, a release for each tag, and the supported versions every week."""
    triggers = {name: flow[True] for name, flow in WORKFLOWS.items()}
    assert set(triggers) == {"test", "release", "compat"}
    assert triggers["release"] == {"push": {"tags": ["v*"]}}
    assert set(triggers["test"]) == {"push", "pull_request"}
    assert "schedule" in triggers["compat"]
    assert [step.spec["run"] for step in STEPS if step.job == "test/test" and "run" in step.spec] == ["make test"]


def test_every_action_is_pinned_by_its_commit() -> None:
    """The version is in a comment behind it, and one action has one commit everywhere."""
    lines = [line for path in FOLDER.glob("*.yaml") for line in path.read_text().splitlines() if "uses:" in line]
    pins = [re.fullmatch(r" +(?:- )?uses: ([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    assert len({pin[1] for pin in pins if pin}) == len({pin.groups() for pin in pins if pin})
    assert len(pins) == len([step for step in STEPS if "uses" in step.spec])


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_the_least_permissions(job: dict[str, Any]) -> None:
    """Read-only but for jobs that publish, which wait for the tests and for the approval of an environment."""
    assert job["timeout-minutes"] > 0
    if job["permissions"] != READ:
        assert job["environment"] == "release"
        assert "write-all" not in str(job["permissions"])
        assert {"test", "verify"} & set(job["needs"]) or "image" in job["needs"]


def test_no_workflow_has_permissions_of_its_own() -> None:
    """Each job names what it needs, and no checkout leaves the token behind."""
    assert [flow["permissions"] for flow in WORKFLOWS.values()] == [{}, {}, {}]
    checkouts = [step.spec for step in STEPS if "actions/checkout@" in step.spec.get("uses", "")]
    assert checkouts
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_what_is_published_is_tested_and_signed() -> None:
    """The image waits for tests and audit, the chart for the image; both platforms, SBOM, provenance and signatures."""
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["image"]["needs"] == ["test", "verify"]
    assert "image" in jobs["chart"]["needs"]
    assert set(jobs["release"]["needs"]) == {"verify", "image", "chart"}
    (build,) = [step.spec["with"] for step in STEPS if "build-push-action" in step.spec.get("uses", "")]
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")
    script = "\n".join(step.spec["run"] for step in STEPS if step.job.startswith("release/") and "run" in step.spec)
    for command in ("make test", "make audit", "make sbom", "make dist", "cosign sign --yes", "cosign attest --yes"):
        assert command in script
    attested = {step.job for step in STEPS if "actions/attest@" in step.spec.get("uses", "")}
    assert attested == {"release/image", "release/chart", "release/release"}


def test_expressions_stay_out_of_shell_steps() -> None:
    """A name of a branch or a tag is data: it reaches the shell in a variable."""
    assert [step.name for step in STEPS if "${{" in step.spec.get("run", "")] == []


def test_make_targets_exist() -> None:
    """Each `make` of a step is a target, except `dist`, whose step checks for it first."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {target for step in STEPS for target in re.findall(r"make ([a-z-]+)", step.spec.get("run", ""))}
    assert {target for target in targets - {"dist"} if not re.search(rf"(?m)^{target}:", makefile)} == set()


STUBS = {
    "docker": f'case "$*" in *imagetools*) echo \'"{DIGEST}"\';; esac',
    "helm": f'case "$1" in push) echo "Digest: {DIGEST}";; package) touch "$4/dora-operator-96.0.0.tgz";; esac',
    "cosign": 'case "$1" in sign-blob) touch "$4";; esac',
    "gh": "true",
    "make": 'case "$1" in sbom) mkdir -p dist; echo "{}" > dist/sbom.json;; esac',
}
"""Programs that publish, or take long: each writes its arguments to a file, and answers as far as a step reads it."""
EXPRESSIONS = {
    "needs.verify.outputs.image": "ghcr.io/someone/dora-operator",
    "needs.verify.outputs.charts": "ghcr.io/someone/charts",
    "needs.verify.outputs.version": TAG[1:],
    "needs.image.outputs.digest": DIGEST,
    "steps.push.outputs.digest": DIGEST,
    "github.token": "a-token",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a prepared release's checkout, where every program that would publish is a stub."""
    root = tmp_path / "checkout"
    for name in ("charts", "config", "docs", "crds"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", "Dockerfile", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, root / name)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(release.UNRELEASED, f"{release.UNRELEASED}\n\n- More.\n", 1))
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgSign=false")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "All")):
        subprocess.run(["git", *words], cwd=root, check=True)
    release.prepare(root, TAG[1:], "2026-12-24")
    for name, body in STUBS.items():
        write_program(tmp_path / "bin" / name, f'echo "{name} $*" >> "$CALLS"\n{body}')
    write_program(
        root / ".venv" / "bin" / "python",
        f'export PYTHONPATH="{ROOT}/operator:{ROOT}"\n'
        f"exec {os.sys.executable} -c 'import sys, pathlib\n"  # type: ignore[attr-defined]
        "from tools import release\n"
        'sys.exit(release.main(sys.argv[3:], pathlib.Path.cwd()))\' "$@"',
    )
    (root / "dist").mkdir()
    return root


def write_program(path: Path, body: str) -> None:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\nset -e\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run_step(step: Step, checkout: Path) -> tuple[subprocess.CompletedProcess[str], str, dict[str, str]]:
    """Run a shell step as GitHub does, and also fail on unset variables; return result, calls and outputs."""
    calls, outputs = checkout.parent / "calls", checkout.parent / "outputs"
    for path in (calls, outputs):
        path.touch()
    given = {
        name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: EXPRESSIONS[found[1]], str(text))
        for name, text in step.env.items()
    }
    environment = {
        "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}",
        "HOME": str(checkout.parent),
        "CALLS": str(calls),
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_REF_NAME": TAG,
        "GITHUB_REPOSITORY": "SomeOne/dora-operator",
        "GITHUB_REPOSITORY_OWNER": "SomeOne",
        "GITHUB_SERVER_URL": "https://github.com",
    } | given
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", step.spec["run"]]
    result = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    return result, calls.read_text(), dict(line.split("=", 1) for line in outputs.read_text().splitlines())


@pytest.mark.parametrize("step", SHELL)
def test_a_shell_step_runs(checkout: Path, step: Step) -> None:
    """Each alone, with stubs for what publishes: it parses, uses no unset variable, and succeeds."""
    if "Push" in step.name or "notes" in step.name or "Create the release" in step.name:
        (checkout / "notes.md").touch()
    result, calls, _ = run_step(step, checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls or any(word in step.spec["run"] for word in ("tools.release", "GITHUB_OUTPUT", "::notice::"))


def step(name: str) -> Step:
    """Return the step of the release workflow with this name."""
    (found,) = [one for one in STEPS if one.job.startswith("release/") and one.spec.get("name") == name]
    return found


def test_the_names_of_what_is_published(checkout: Path) -> None:
    """In lower case, as registries want it; the version comes from the tag."""
    _, _, outputs = run_step(step("Name what is published"), checkout)
    assert outputs == {
        "image": "ghcr.io/someone/dora-operator",
        "charts": "ghcr.io/someone/charts",
        "version": TAG[1:],
    }


def test_the_base_is_pinned_by_digest(checkout: Path) -> None:
    """The Dockerfile names the base; the registry says which digest its tag has."""
    _, calls, outputs = run_step(step("Pin the base of the image"), checkout)
    (base,) = set(re.findall(r"(?m)^ARG BASE=(.+)$", (checkout / "Dockerfile").read_text()))
    assert outputs == {"base": f"{base}@{DIGEST}"}
    assert base in calls


def test_a_wrong_tag_ends_the_release(checkout: Path) -> None:
    """Before anything is published."""
    (checkout / "pyproject.toml").write_text('version = "1.0.0"\n')
    result, _, _ = run_step(step("Compare the tag with the files"), checkout)
    assert result.returncode == 1
    assert "error: " in result.stderr


def test_a_push_without_a_digest_ends_the_release(checkout: Path) -> None:
    """Nothing is signed then."""
    write_program(checkout.parent / "bin" / "helm", "echo denied")
    result, _, outputs = run_step(step("Push the chart"), checkout)
    assert result.returncode != 0
    assert outputs == {}


def test_the_release_has_the_notes_and_all_files(checkout: Path) -> None:
    """The changelog's section, and every file with its checksum; the checksums are signed."""
    (checkout / "dist" / "sbom.json").write_text("{}")
    run_step(step("Push the chart"), checkout)
    result, _, _ = run_step(step("Add the CRDs, the notes and the checksums, and sign the checksums"), checkout)
    assert result.returncode == 0, result.stderr
    assert (checkout / "notes.md").read_text().startswith("- More.")
    sums = (checkout / "dist" / "checksums.txt").read_text()
    crds = {"dora-operator.io_doradeployments.yaml", "dora-operator.io_dorahistories.yaml"}
    assert crds | {"sbom.json"} <= set(sums.split())
    assert "checksums" not in sums
    _, calls, _ = run_step(step("Create the release"), checkout)
    assert f"gh release create {TAG} --verify-tag --title {TAG} --notes-file notes.md dist/" in calls
    assert "--prerelease" not in calls
    assert "dist/checksums.txt.sigstore.json" in calls


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("make test", "echo ${{ github.head_ref }}", "template-injection", id="an expression in a script"),
        pytest.param("permissions: {}", "permissions: write-all", "excessive-permissions", id="all permissions"),
        pytest.param("runs-on: ubuntu-24.04", "runs-on: ubuntu-1.0", "runner-label", id="no such runner"),
        pytest.param("checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "checkout@v7", "unpinned-uses", id="a tag"),
    ],
)
def test_the_linters_see_what_is_wrong(
    tmp_path: Path, old: str, new: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The workflows as they are pass, with one change each they do not."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    path = tmp_path / ".github" / "workflows" / "test.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert workflows.main(tmp_path) == 1
    out = capfd.readouterr()
    assert words in out.out + out.err


def test_the_linters_find_nothing() -> None:
    """As `make check` runs them."""
    assert workflows.main() == 0

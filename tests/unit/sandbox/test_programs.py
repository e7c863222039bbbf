"""Building the sandbox's programs: whole or not at all, once, with words that help. Go is a script here."""

import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from sandbox.programs import build, cache, catalogue, compiler
from sandbox.programs.cache import Cache, SandboxError
from sandbox.programs.catalogue import Program

PROGRAM = Program("kube-apiserver", "example.org/kube-apiserver", 1)
ROOT = Path(__file__).parents[3]
GOOD = 'echo one/package >&2; echo two/package >&2; echo built > "$output"'


def fake_go(folder: Path, body: str) -> Path:
    """Write a script that answers `go env` and runs `body` for `go build`, with $output set."""
    path = folder / "go"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = env ]; then echo go9.9; exit 0; fi\n'
        f'echo "$@" >> "{folder}/calls"\n'
        'while [ "$1" != -o ]; do shift; done; output=$2\n' + body + "\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a good toolchain in it, and an environment without a cache of its own."""
    for name in ("KUBEBUILDER_ASSETS", "DORA_OPERATOR_CACHE", "DORA_OPERATOR_KUBERNETES", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    go = fake_go(tmp_path, GOOD)
    monkeypatch.setattr(build, "find_go", lambda: go)
    return tmp_path


def calls(folder: Path) -> int:
    """Count the builds."""
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_built_once_and_then_found(folder: Path) -> None:
    """The second call builds nothing, and Go's own caches are gone after the first."""
    where = Cache(folder / "cache")
    first = build.ensure([PROGRAM], cache=where)
    second = build.ensure([PROGRAM], cache=where)
    assert first == second
    assert first[PROGRAM.name].read_text() == "built\n"
    assert calls(folder) == 1
    assert not where.work.exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("echo no space left on device >&2; exit 1", id="the compiler fails"),
        pytest.param('echo half > "$output"; echo no space left on device >&2; exit 1', id="it fails half-way"),
        pytest.param("echo no space left on device >&2; exit 0", id="it says all is well and writes nothing"),
    ],
)
def test_a_failed_build_leaves_nothing_and_says_what_to_do(folder: Path, body: str) -> None:
    """The message has the last words of the compiler; the next try succeeds."""
    where = Cache(folder / "cache")
    fake_go(folder, body)
    with pytest.raises(SandboxError, match="no space left on device") as raised:
        build.ensure([PROGRAM], cache=where)
    assert "Run the same command again" in str(raised.value)
    assert not list((folder / "cache" / "programs").glob("*/*"))
    fake_go(folder, GOOD)
    assert build.ensure([PROGRAM], cache=where)[PROGRAM.name].exists()


def test_an_interrupted_build_leaves_no_process_and_no_program(folder: Path) -> None:
    """Ctrl-C in the middle of a build."""
    fake_go(folder, f'echo half > "$output"; echo $$ > "{folder}/pid"; sleep 60')
    code = (
        "import pathlib, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from sandbox.programs import build\nfrom sandbox.programs.cache import Cache\n"
        "from sandbox.programs.catalogue import Program\n"
        f"build.find_go = lambda: pathlib.Path({str(folder / 'go')!r})\n"
        f"build.ensure([Program('kube-apiserver', 'x', 1)], cache=Cache(pathlib.Path({str(folder / 'cache')!r})))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())
    process.send_signal(signal.SIGINT)
    process.wait(10)
    pid = (folder / "pid").read_text().strip()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())  # another process reaps it
    assert not list((folder / "cache" / "programs").glob("*/*"))


def wait_for(condition: object, seconds: float = 10) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_envtests_binaries_are_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS comes first; what is not in it is built."""
    assets = folder / "assets"
    assets.mkdir()
    (assets / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = build.ensure([Program("etcd", "x", 1), PROGRAM], cache=Cache(folder / "cache"))
    assert found["etcd"] == assets / "etcd"
    assert found[PROGRAM.name].read_text() == "built\n"
    assert calls(folder) == 1


def test_too_little_disk_is_said_before_the_build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the folder, what is missing and how to choose another one."""
    usage = namedtuple("usage", "total used free")(1, 1, 2**30)  # noqa: PYI024 - as shutil's
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SandboxError, match=r"8 GiB of free disk in .*, 1\.0 GiB are free: free some, or set DORA"):
        build.ensure([PROGRAM], cache=Cache(folder / "cache"))
    assert calls(folder) == 0


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"DORA_OPERATOR_CACHE": "/a"}, "/a", id="a folder of one's own"),
        pytest.param({"XDG_CACHE_HOME": "/b"}, "/b/dora-operator", id="the desktop's cache folder"),
        pytest.param({"HOME": "/c"}, "/c/.cache/dora-operator", id="the home folder"),
    ],
)
def test_where_the_cache_is(folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict, expected: str) -> None:
    """Outside the checkout, and the user can choose."""
    assert folder.exists()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Cache.default().folder == Path(expected)


def test_the_key_follows_everything_that_is_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program, toolchain, dependency or own source is another key."""
    for file in ("go.mod", "go.sum"):
        (tmp_path / file).write_text("one")
    monkeypatch.setattr(catalogue, "MODULE_FOLDER", tmp_path)
    keys = {catalogue.cache_key("a", "go1"), catalogue.cache_key("b", "go1"), catalogue.cache_key("a", "go2")}
    (tmp_path / "go.sum").write_text("two")
    keys.add(catalogue.cache_key("a", "go1"))
    source = tmp_path / "folder" / "main.go"
    source.parent.mkdir()
    for text in ("package main", "package other"):
        source.write_text(text)
        keys.add(catalogue.cache_key("a", "go1"))
    source.rename(source.with_name("other.go"))
    keys.add(catalogue.cache_key("a", "go1"))
    assert len(keys) == 7


def test_a_module_may_be_anywhere(folder: Path) -> None:
    """A program that is written here has its module beside its user, not below the catalogue's folder."""
    own = folder / "peer"
    own.mkdir()
    for file in ("go.mod", "go.sum", "main.go"):
        (own / file).touch()
    fake_go(folder, 'pwd > "$output"')
    built = build.ensure([Program("peer", ".", 1, str(own))], cache=Cache(folder / "cache"))
    assert built["peer"].read_text().strip() == str(own)


def test_a_program_of_another_module_is_built_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own go.mod decides about its key, not that of the others, and Go runs beside it."""
    for place, text in ((folder, "one"), (folder / "own", "two")):
        place.mkdir(exist_ok=True)
        for file in ("go.mod", "go.sum"):
            (place / file).write_text(text)
    monkeypatch.setattr(catalogue, "MODULE_FOLDER", folder)
    monkeypatch.setattr(compiler, "MODULE_FOLDER", folder)
    fake_go(folder, 'pwd > "$output"')
    program = Program("helm", "example.org/helm", 1, "own")
    built = build.ensure([program], cache=Cache(folder / "cache"))
    assert built["helm"].read_text().strip() == str(folder / "own")
    before = catalogue.cache_key("helm", module="own"), catalogue.cache_key("helm")
    (folder / "own" / "go.sum").write_text("three")
    assert (catalogue.cache_key("helm", module="own") != before[0], catalogue.cache_key("helm")) == (True, before[1])


def test_removing_everything(folder: Path) -> None:
    """--remove-cache also removes the folders that Go has made read-only."""
    where = Cache(folder / "cache")
    modules = where.work / "modules" / "m"
    modules.mkdir(parents=True)
    (modules / "file").write_text("12345")
    modules.chmod(0o500)
    assert where.remove() >= 5
    assert not where.folder.exists()


@pytest.mark.parametrize(
    ("chosen", "version", "module"),
    [
        pytest.param("", catalogue.KUBERNETES_VERSION, ".", id="the newest by default"),
        pytest.param("newest", catalogue.KUBERNETES_VERSION, ".", id="the newest"),
        pytest.param("oldest", catalogue.OLDEST_KUBERNETES_VERSION, "oldest", id="the oldest"),
    ],
)
def test_kubernetes_is_built_in_the_chosen_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, version: str, module: str
) -> None:
    """From its own module, and it reports its own version; two versions do not share a place in the cache."""
    monkeypatch.setenv("DORA_OPERATOR_KUBERNETES", chosen)
    (newest,) = [program for program in catalogue.CORE if program.name == "kube-apiserver"]
    found = build.ensure([newest], cache=Cache(folder / "cache"))
    assert f"gitVersion={version}" in (folder / "calls").read_text()
    key = catalogue.cache_key("kube-apiserver", "go9.9", module=module)
    assert found["kube-apiserver"].parent.name == key
    go_mod = (catalogue.MODULE_FOLDER / module / "go.mod").read_text()
    assert f"k8s.io/kubernetes {version}" in go_mod


def test_an_unknown_version_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the two that exist."""
    monkeypatch.setenv("DORA_OPERATOR_KUBERNETES", "1.20")
    with pytest.raises(SandboxError, match="set it to newest or oldest"):
        build.ensure([PROGRAM], cache=Cache(folder / "cache"))

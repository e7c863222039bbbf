"""Builds the programs that are missing, with the Go toolchain of the virtual environment.

A program is built beside the cache and moved into it whole: an interrupted or failed build leaves nothing broken.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.programs.cache import Cache, SandboxError
from sandbox.programs.catalogue import MANIFESTS, OLDEST, Manifests, Program, cache_key
from sandbox.programs.compiler import compiling, go_command
from sandbox.programs.progress import Progress


def ensure(programs: Sequence[Program], *, cache: Cache | None = None) -> dict[str, Path]:
    """Return where each program is, after building those that are missing.

    KUBEBUILDER_ASSETS, if set, comes first: users of envtest have etcd and kube-apiserver there.
    DORA_OPERATOR_KUBERNETES=oldest takes Kubernetes in the oldest supported version instead of the newest.

    Raises:
        SandboxError: a program cannot be built; the message says what to do.
    """
    programs = [_in_chosen_version(program) for program in programs]
    found = _among_assets(programs)
    wanted = [program for program in programs if program.name not in found]
    if wanted:
        found |= _from_cache(wanted, cache or Cache.default())
    return found


def is_built(program: Program) -> bool:
    """Return whether a program is there already."""
    return bool(_among_assets([program])) or _paths([program], Cache.default(), find_go())[program.name].exists()


def _among_assets(programs: Sequence[Program]) -> dict[str, Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = {program.name: Path(assets) / program.name for program in programs} if assets else {}
    return {name: path for name, path in found.items() if path.exists()}


def _paths(programs: Sequence[Program], cache: Cache, go: Path) -> dict[str, Path]:
    version = go_command(go, None, "env", "GOVERSION")
    keys = {program.name: cache_key(program.name, version, module=program.module) for program in programs}
    return {name: cache.path(key) / name for name, key in keys.items()}


def _in_chosen_version(program: Program) -> Program:
    chosen = os.environ.get("DORA_OPERATOR_KUBERNETES") or "newest"
    if chosen not in {"newest", "oldest"}:
        raise SandboxError(f"DORA_OPERATOR_KUBERNETES is {chosen}: set it to newest or oldest")
    return OLDEST.get(program.name, program) if chosen == "oldest" else program


def ensure_manifests(wanted: Sequence[Manifests] = MANIFESTS, *, cache: Cache | None = None) -> dict[str, Path]:
    """Return the folders of the manifests that modules bring along, after fetching what is missing.

    Raises:
        SandboxError: a module cannot be fetched.
    """
    cache = cache or Cache.default()
    go = find_go()
    keys = {one.name: cache_key(one.name, *one.patterns, module=one.folder) for one in wanted}
    paths = {name: cache.path(key) for name, key in keys.items()}
    missing = [manifests for manifests in wanted if not paths[manifests.name].exists()]
    if missing:
        with cache.locked():
            for manifests in missing:
                _copy(go, manifests, paths[manifests.name], cache)
            cache.drop_work()
    return paths


def find_go() -> Path:
    """Return the Go toolchain: the one that was installed with this Python, else the one on PATH.

    Raises:
        SandboxError: there is none.
    """
    beside = Path(sys.executable).with_name("go")
    found = str(beside) if beside.exists() else shutil.which("go")
    if found is None:
        raise SandboxError("no Go toolchain is installed: run `make setup`, which brings one")
    return Path(found)


def _from_cache(wanted: Sequence[Program], cache: Cache) -> dict[str, Path]:
    go = find_go()
    paths = _paths(wanted, cache, go)
    if all(path.exists() for path in paths.values()):
        return paths
    with cache.locked():
        missing = [program for program in wanted if not paths[program.name].exists()]  # another one may have built it
        if missing:
            cache.check_free_space()
            _build_all(go, missing, paths, cache)
            cache.drop_work()
    return paths


def _build_all(go: Path, missing: Sequence[Program], paths: dict[str, Path], cache: Cache) -> None:
    seconds = sum(program.seconds for program in missing)
    names = ", ".join(program.name for program in missing)
    print(f"Building {names} from source, once: about {seconds // 60 + 1} minutes on 2 cores.", flush=True)
    print(f"The result is kept in {cache.folder}.", flush=True)
    progress = Progress(len(missing), seconds)
    for done, program in enumerate(missing):
        begun = time.monotonic()
        with compiling(go, program, cache) as compiler:
            while compiler.running():
                progress.say(done, program.name, compiler.packages)
            compiler.keep(paths[program.name])
        progress.finish(program.name, time.monotonic() - begun)


def _copy(go: Path, manifests: Manifests, target: Path, cache: Cache) -> None:
    if target.exists():
        return
    module, folder = manifests.module, manifests.folder
    go_command(go, cache, "mod", "download", module, module=folder)
    source = Path(go_command(go, cache, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module, module=folder))
    if not source.is_absolute():
        raise SandboxError(f"the files of {manifests.module} were not fetched: check the network and run again")
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for pattern in manifests.patterns:
        for file in sorted(source.glob(pattern)):
            copy = unfinished / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    unfinished.replace(target)

"""The copy of the operator with all mutants in it: each function has its mutants beside it, and one is switched on."""

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents

ROOT = Path(__file__).parents[2]
WORKSPACE = ROOT / ".mutants"
PACKAGE = "operator/dora_operator"
COPIED = (PACKAGE, "config", "crds", "sandbox", "tests", "tools")
CONFIGURATION = """\
[tool.mutmut]
source_paths = ["operator"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
timeout = 300
"""
"""pytest runs without the options of the project: in one process, with its own order."""

TRAMPOLINE = "from mutmut.mutation.trampoline import wrap_in_trampoline as _mutmut_mutated, MutantDict"
OWN_TRAMPOLINE = "from tools.mutants.trampoline import mutated as _mutmut_mutated, MutantDict"
"""Ours does less, and is faster: it is called with each call of the domain."""


def sources(words: Iterable[str] = ()) -> list[str]:
    """Return the files of domain/ whose path has one of the words; all without words."""
    found = [str(path.relative_to(ROOT / PACKAGE)) for path in (ROOT / PACKAGE / "domain").rglob("*.py")]
    return sorted(path for path in found if not words or any(word in path for word in words))


def prepare(files: Iterable[str]) -> dict[str, list[str]]:
    """Write the workspace and return the mutants of each file."""
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, WORKSPACE / name, ignore=shutil.ignore_patterns("__pycache__"))
    (WORKSPACE / "pyproject.toml").write_text(CONFIGURATION, encoding="utf-8")
    os.chdir(WORKSPACE)  # mutmut reads its configuration there
    with ProcessPoolExecutor() as pool:
        return {file: mutants for file, mutants in zip(files, pool.map(_mutate, files), strict=True) if mutants}


def module_of(file: str) -> str:
    """Return the module of a file of the operator."""
    return "dora_operator." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _mutate(file: str) -> list[str]:
    path = WORKSPACE / PACKAGE / file
    mutated = mutate_file_contents(file, path.read_text(encoding="utf-8"))
    path.write_text(mutated.code.replace(TRAMPOLINE, OWN_TRAMPOLINE), encoding="utf-8")
    return [f"{module_of(file)}.{name}" for name in mutated.mutant_names]

"""What survived, where, and the score: in total, by file, and without changes inside message texts."""

import ast
import difflib
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

from tools.mutants.workspace import PACKAGE, ROOT, WORKSPACE, module_of

FOUND = frozenset({"killed", "timeout"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one function."""

    file: str
    line: int
    before: str
    after: str
    is_text: bool
    """Only a message changes: a literal with a space in it. Messages may be worded otherwise."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many mutants of some were found."""

    found: int
    total: int

    def __str__(self) -> str:
        percent = 100 * self.found / self.total if self.total else 100
        return f"{self.found:>5} / {self.total:<5} {percent:5.1f} %"


def report(mutants: Mapping[str, Iterable[str]], outcomes: Mapping[str, str]) -> Iterator[str]:
    """List the survivors, then the score of each file and of all."""
    rows: list[tuple[str, list[tuple[Mutant, str]]]] = [
        (file, [(described(file, name), outcomes[name]) for name in names]) for file, names in mutants.items()
    ]
    for _, judged in rows:
        for mutant, outcome in judged:
            if outcome not in FOUND:
                kind = " (message)" if mutant.is_text else ""
                yield f"{PACKAGE}/{mutant.file}:{mutant.line}: {outcome}{kind}"
                yield f"  - {mutant.before}"
                yield f"  + {mutant.after}"
    yield ""
    yield f"{'file':<42}{'all mutants':>18}{'without messages':>26}"
    for file, judged in [*rows, ("domain", [each for _, each_file in rows for each in each_file])]:
        yield f"{file:<42}{score(judged)!s}     {score(each for each in judged if not each[0].is_text)}"
    counts = Counter(outcomes.values())
    yield ""
    yield ", ".join(f"{outcome}: {count}" for outcome, count in sorted(counts.items()))
    yield "A message is a literal with a space in it; its mutants change its letters. Statements of a module and"
    yield "properties have no mutants."


def score(judged: Iterable[tuple[Mutant, str]]) -> Score:
    """Return how many were found."""
    found = [outcome in FOUND for _, outcome in judged]
    return Score(sum(found), len(found))


def described(file: str, name: str) -> Mutant:
    """Return where a mutant is, and what it changes."""
    mangled = name.removeprefix(f"{module_of(file)}.")
    original, _, _ = mangled.rpartition("_")
    copies = _functions(WORKSPACE / PACKAGE / file)
    before, after = copies[f"{original}_orig"], copies[mangled]
    changed = [each for each in difflib.SequenceMatcher(None, before, after).get_opcodes() if each[0] != "equal"]
    first, last = changed[0], changed[-1]
    return Mutant(
        file,
        _line(file, original) + first[1],
        " ".join(line.strip() for line in before[first[1] : last[2]]),
        " ".join(line.strip() for line in after[first[3] : last[4]]),
        _is_text(before, after),
    )


@cache
def _functions(path: Path) -> dict[str, list[str]]:
    """Return the lines of each function of a file, from its `def` on."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {
        node.name: dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])).replace(node.name, "it", 1).split("\n")
        for node in found
    }


def _line(file: str, mangled: str) -> int:
    """Return the line of the `def` in the original."""
    name = mangled.removesuffix("__mutmut").replace("xǁ", "").removeprefix("x_").split("ǁ")
    body = ast.parse((ROOT / PACKAGE / file).read_text(encoding="utf-8")).body
    for part in name:
        found = next(node for node in body if getattr(node, "name", None) == part)
        body = getattr(found, "body", [])
    line: int = found.lineno
    return line


def _is_text(before: Iterable[str], after: Iterable[str]) -> bool:
    """Return whether nothing but literals with a space in them changed."""
    tokens = [
        [(token.type, token.string) for token in tokenize.generate_tokens(iter(f"{line}\n" for line in lines).__next__)]
        for lines in (before, after)
    ]
    changed = [one for one, other in zip(*tokens, strict=False) if one != other]
    is_same_length = len(tokens[0]) == len(tokens[1])
    return is_same_length and all(kind == tokenize.STRING and " " in text for kind, text in changed)

"""What a function with mutants becomes: a call of the original, or of the mutant that is switched on."""

from collections.abc import Callable
from functools import wraps
from typing import Any

MutantDict = dict[str, Callable[..., Any]]
"""The original, as `_mutmut_orig`, and the mutants of one function by name. Filled after the function is defined."""
reached: set[str] = set()
"""Which functions were called: the names of their mutants, up to the number."""


class Switch:
    """Which mutant is on."""

    module = ""
    name = ""

    @classmethod
    def on(cls, mutant: str) -> None:
        """Let calls of one function go to this mutant."""
        cls.module, _, cls.name = mutant.rpartition(".")


def mutated(mutants: MutantDict, *, is_classmethod: bool = False) -> Callable[..., Callable[..., Any]]:
    """Return the decorator that mutmut puts on each function with mutants."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        module, first = function.__module__, ""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal first
            original = mutants["_mutmut_orig"]
            if not Switch.name:
                first = first or f"{module}.{original.__name__.removesuffix('_orig')}"
                reached.add(first)
                chosen = original
            else:
                chosen = mutants.get(Switch.name, original) if Switch.module == module else original
            return getattr(args[0], chosen.__name__)(*args[1:], **kwargs) if is_classmethod else chosen(*args, **kwargs)

        return call

    return decorate

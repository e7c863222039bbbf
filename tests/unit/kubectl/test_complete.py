"""Shell completion: which candidates a line gets, and that it never fails."""

import inspect

import pytest
import typer

from dora_operator.kubectl import complete
from dora_operator.kubectl.complete import ARGUMENTS, FILES, FLAGS, GLOBAL_FLAGS, NO_FILES, SWITCHES, Kind
from dora_operator.kubectl.main import app


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["ex"], ["explain", NO_FILES], id="a command"),
        pytest.param([""], [*ARGUMENTS, NO_FILES], id="nothing yet"),
        pytest.param(["doctor", "--lo"], ["--local", NO_FILES], id="a flag"),
        pytest.param(["explain", "-o", "j"], ["json", NO_FILES], id="a value after its flag"),
        pytest.param(["explain", "--output=y"], ["--output=yaml", NO_FILES], id="a value in its flag"),
        pytest.param(["mark", "--dry-run", ""], ["none", "client", "server", NO_FILES], id="a choice"),
        pytest.param(["doctor", "--kubeconfig", ""], [FILES], id="a file"),
        pytest.param(["report", "x"], [NO_FILES], id="no argument"),
        pytest.param(["nothing", ""], [NO_FILES], id="an unknown command"),
        pytest.param([], [*ARGUMENTS, NO_FILES], id="no word at all"),
    ],
)
def test_what_is_known_is_completed_at_once(words: list[str], expected: list[str]) -> None:
    """Without a cluster."""
    assert complete.complete(words) == expected


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["explain", ""], Kind.OBJECTS),
        (["mark", "-n", "shop", ""], Kind.ROLLOUTS),
        (["backfill", "-A", ""], Kind.ROLLOUTS),
        (["explain", "rollout/checkout", "--revision", ""], Kind.REVISIONS),
        (["report", "-n", ""], Kind.NAMESPACES),
        (["report", "--context="], Kind.CONTEXTS),
        (["explain", "rollout/checkout", ""], None),
    ],
)
def test_the_rest_is_asked_of_the_cluster(words: list[str], kind: Kind | None) -> None:
    """By what stands before the word."""
    assert complete.answer(complete.read_line(words)).kind is kind


def test_no_cluster_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error."""
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    assert complete.complete(["explain", ""]) == [NO_FILES]
    assert complete.complete(["explain", "--context", ""]) == [NO_FILES]


def test_every_flag_of_every_command_is_known() -> None:
    """The tables are those of the commands."""
    commands = {each.name: each.callback for each in app.registered_commands}
    assert set(commands) == set(ARGUMENTS) == set(FLAGS)
    for name, callback in commands.items():
        assert callback is not None
        own, switches = set(), set()
        for parameter in inspect.signature(callback).parameters.values():
            option = parameter.annotation.__metadata__[0]
            if isinstance(option, typer.models.OptionInfo):
                flag = f"--{parameter.name.replace('_', '-')}"
                written = [str(option.default), *(option.param_decls or ())]  # Typer keeps the first one as default
                named = [each for each in written if each.startswith("--")] or [flag]
                words = {word for each in named for word in each.split("/")}
                own |= words
                switches |= words if parameter.annotation.__origin__ is bool else set()
        assert own <= set(FLAGS[name]) | set(GLOBAL_FLAGS), name
        assert set(FLAGS[name]) <= own, name
        assert switches <= SWITCHES

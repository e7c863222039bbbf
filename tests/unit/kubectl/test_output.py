"""What is printed: for people, for programs, and never in control of the terminal."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import click
import pytest
from rich.console import Console

from kubectl_dora import output
from kubectl_dora.errors import ExitCode
from kubectl_dora.options import Duration
from tests.support.kubectl_dora import dora

SLOW = ("kopf", "httpx", "kubernetes", "aiohttp", "prometheus_client")
"""Packages that no command may import before it needs them."""


def test_text_from_the_cluster_controls_no_terminal() -> None:
    """Neither by escape sequences, nor by Rich's markup."""
    buffer = io.StringIO()
    screen = Console(file=buffer, markup=False, emoji=False, highlight=False, width=200)
    output.show_table(("A", "B"), [("\x1b[2Jx", "[red]y[/red]\u202e")], screen)
    assert "\x1b" not in buffer.getvalue()
    assert "\u202e" not in buffer.getvalue()
    assert "[red]y[/red]" in buffer.getvalue()


def test_a_table_is_not_cut_off_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output is no terminal, a line stays a line."""
    output.show_table(("Name", "Message"), [("a", "word " * 100)])
    heading, line = capsys.readouterr().out.rstrip().split("\n")
    assert heading.split() == ["NAME", "MESSAGE"]
    assert line.count("word") == 100


def test_csv_is_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    """A version may begin with any character; a spreadsheet must not compute it."""
    output.show_csv(("version", "n"), [("=1+1", -3), ("a,b", None)])
    assert capsys.readouterr().out == 'version,n\n\'=1+1,-3\n"a,b",\n'


def test_documents_are_json_and_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    """Names in camelCase, absent values absent."""
    output.show_document({"some": (1,), "code": ExitCode.OK}, output.JSON)
    assert json.loads(capsys.readouterr().out) == {"some": [1], "code": 0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "5s"),
        (65, "1m"),
        (3600, "1h"),
        (3720, "1h2m"),
        (86_400 * 2 + 7200, "2d2h"),
        (86_400 * 40, "40d"),
        (-4, "0s"),
    ],
)
def test_durations_read_as_kubectls(seconds: float, words: str) -> None:
    """In one unit or two."""
    assert output.duration(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("36h", 36 * 3600), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("1d2h", 93_600), ("30d", 2_592_000)],
)
def test_durations_are_those_of_go_and_days(text: str, seconds: float) -> None:
    """As other tools take them."""
    assert Duration().convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1w", "-1d", "0d", "99999d", "1", "h", "1h 30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number alone counts seconds only where kubectl takes it so."""
    with pytest.raises(click.UsageError):
        Duration().convert(text, None, None)
    assert Duration(seconds=True).convert("60", None, None) == timedelta(minutes=1)


def test_starting_imports_nothing_that_is_slow() -> None:
    """`--help` and `version --client` need neither kopf, httpx nor the Kubernetes client."""
    program = (
        "import sys\nfrom kubectl_dora.main import app\n"
        "try:\n    app(['version', '--client'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"found = [name for name in {SLOW} if name in sys.modules]\nassert not found, found\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root / "operator", capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(("version", "--kubeconfig", "/no/such/file"), ExitCode.CLUSTER, "/no/such/file", id="no file"),
        pytest.param(("version", "-o", "csv", "--client"), ExitCode.USAGE, "not one of 'json', 'yaml'", id="a format"),
        pytest.param(("report", "-A", "-n", "shop"), ExitCode.USAGE, "they contradict each other", id="two scopes"),
        pytest.param(("mark", "--service", "checkout"), ExitCode.USAGE, "--env, --version missing", id="no version"),
        pytest.param(("mark", "checkout"), ExitCode.USAGE, "write rollout/checkout", id="no type"),
        pytest.param(("nothing",), ExitCode.USAGE, "No such command", id="no command"),
    ],
)
def test_errors_have_an_exit_code_and_a_fix(arguments: tuple[str, ...], code: ExitCode, words: str) -> None:
    """On stderr; stdout stays empty for programs."""
    found = dora(None, *arguments)
    assert (found.code, found.out) == (code, "")
    assert words in found.err

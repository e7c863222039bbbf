"""What is printed: for people, for programs, and never in control of the terminal."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from dora_operator.kubectl import output
from dora_operator.kubectl.errors import ExitCode, NotFoundError, UsageError
from dora_operator.kubectl.options import Format, parse_duration
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
    output.show_document({"some": NotFoundError, "delta": timedelta(seconds=2)} | {"some": [1]}, Format.JSON)
    assert json.loads(capsys.readouterr().out) == {"some": [1], "delta": 2.0}


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


def test_durations_are_a_number_and_a_unit() -> None:
    """Everything else is a mistake in the usage."""
    assert parse_duration("--since", "36h") == timedelta(hours=36)
    for text in ("", "1w", "-1d", "0d", "99999d", "1.5h", "1d2h"):
        with pytest.raises(UsageError):
            parse_duration("--since", text)


def test_starting_imports_nothing_that_is_slow() -> None:
    """`--help` and `version --client` need neither kopf, httpx nor the Kubernetes client."""
    program = (
        "import sys\nfrom dora_operator.kubectl.main import app\n"
        "try:\n    app(['version', '--client'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"found = [name for name in {SLOW} if name in sys.modules]\nassert not found, found\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root / "operator", capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(("version", "--kubeconfig", "/no/such/file"), ExitCode.CLUSTER, "/no/such/file", id="no file"),
        pytest.param(("version", "-o", "csv", "--client"), ExitCode.USAGE, "use one of: json, yaml", id="a format"),
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

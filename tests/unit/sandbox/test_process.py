"""Programs in the background: the environment that they get."""

import sys
from pathlib import Path

import pytest

from sandbox.cluster.process import Background


def test_the_sandboxs_own_variables_do_not_stop_an_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator refuses variables of its prefix that it does not know."""
    names = ["DORA_OPERATOR_CACHE", "DORA_OPERATOR_KUBERNETES", "OTHER"]
    for name in names:
        monkeypatch.setenv(name, "mine")
    show = f"import os; print([name for name in {[*names, 'MORE']} if name in os.environ])"
    program = Background.start("program", [sys.executable, "-c", show], tmp_path, {"MORE": "yes"})
    program.popen.wait(10)
    assert program.log.read_text() == "['OTHER', 'MORE']\n"

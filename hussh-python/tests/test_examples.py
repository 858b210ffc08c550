"""The examples run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Server

EXAMPLES = sorted(Path(__file__).resolve().parents[1].glob("examples/*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, sshd: Server) -> None:
    words = [sys.executable, example, sshd.host, "--port", str(sshd.port)]
    words += ["--username", sshd.username, "--private-key", sshd.identity]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout

"""The examples of both READMEs, line by line, and the commands that they name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", READMES)
def test_the_examples_give_what_they_show(name):
    """In a process of its own, for they register an activation; doctest itself reports what differs."""
    result = subprocess.run(
        [sys.executable, "-m", "doctest", str(ROOT / name)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_doctest_catches_a_wrong_example(tmp_path):
    wrong = tmp_path / "README.md"
    wrong.write_text((ROOT / "README.md").read_text().replace("(1.53353, 1.481114)", "(1.53353, 1.481115)"))
    assert (
        subprocess.run([sys.executable, "-m", "doctest", str(wrong)], capture_output=True, timeout=120).returncode == 1
    )


def test_both_languages_show_the_same_code():
    for language in ("python", "sh"):
        assert blocks("README.md", language) == blocks("README.zh.md", language) != []


def test_the_commands_exist():
    from actfun.cli import COMMANDS

    shell = "\n".join(blocks("README.md", "sh"))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", shell, flags=re.MULTILINE)) == {"compare", "test"} <= targets
    assert set(re.findall(r"^\.venv/bin/actfun (\w+)", shell, flags=re.MULTILINE)) == set(COMMANDS)


def test_the_documented_command_of_ci_is_the_readmes():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

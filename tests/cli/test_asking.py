"""Where passwords come from: files that only their owner reads, the environment, a terminal; never shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from vosctl.cli.asking import Passphrases, ask_option, file_option, from_file
from vosctl.errors import UsageError
from vosctl.secret import Secret

WORD = "s3cret wörd"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [WORD, f"{WORD}\n", f"{WORD}\r\nsecond line\n"])
def test_first_line_of_a_file(tmp_path, text):
    assert from_file(written(tmp_path / "p", text), option="--x") == Secret(WORD)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("", 0o600, "first line is empty"),
        ("\nx\n", 0o600, "first line is empty"),
        (WORD, 0o640, "others may read"),
    ],
)
def test_files_that_are_refused(tmp_path, text, mode, words):
    path = written(tmp_path / "p", text, mode)
    with pytest.raises(UsageError) as caught:
        from_file(path, option="--x")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert WORD not in str(caught.value)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        from_file(tmp_path / "none", option="--x")


def test_options_give_secrets_from_flag_and_environment(tmp_path, monkeypatch):
    got = []

    @click.command()
    @file_option("--become-password-file", variable="VOSCTL_TEST_FILE", help="x")
    @ask_option("--ask", short="-K", variable="VOSCTL_TEST_ASK", prompt="x: ", help="x")
    def command(become_password_file, ask):
        got.append((become_password_file, ask))

    path = str(written(tmp_path / "p", WORD))
    command.main(["--become-password-file", path], standalone_mode=False)
    monkeypatch.setenv("VOSCTL_TEST_FILE", path)
    command.main([], standalone_mode=False)
    assert got == [(Secret(WORD), None)] * 2
    assert WORD not in repr(got)


def test_passphrase_of_the_environment_and_file_wins_over_it(monkeypatch):
    monkeypatch.setenv("VOSCTL_SSH_PASSPHRASE", WORD)
    assert Passphrases(None)(Path("/k")) == Secret(WORD)
    assert Passphrases(Secret("other"))(Path("/k")) == Secret("other")


ASK = """
import os, sys
os.open(os.ttyname(0), os.O_RDWR)
from pathlib import Path
from vosctl.cli.asking import Passphrases
sys.exit(Passphrases(None)(Path("/keys/id")).reveal() != sys.argv[1])
"""


def test_terminal_is_asked_and_shows_nothing():
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "VOSCTL_SSH_PASSPHRASE"}
    with subprocess.Popen(
        [sys.executable, "-c", ASK, WORD],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=env,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"Passphrase for /keys/id: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, WORD.encode() + b"\n")
        assert process.wait(20) == 0
        shown = os.read(ours, 1000)
    os.close(ours)
    assert WORD.encode() not in shown


def test_nobody_to_ask():
    script = "from pathlib import Path; from vosctl.cli.asking import Passphrases; print(Passphrases(None)(Path('/k')))"
    env = {name: value for name, value in os.environ.items() if name != "VOSCTL_SSH_PASSPHRASE"}
    done = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        start_new_session=True, env=env,
    )  # fmt: skip
    assert done.stdout == "None\n"

"""Each command is in the module that the table names, and only that module is imported for it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import click
import pytest

import vosctl.cli
import vosctl.cli.rates
from vosctl.cli.commands import MODULES, Commands
from vosctl.cli.main import cli, run
from vosctl.cli.rates import group

INSIDE_VAULT = {"vault_files", "vault_git"}  # their commands are vault's


def commands_below(package):
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        commands = getattr(import_module(f"{package.__name__}.{module.name}"), "COMMANDS", ())
        if module.name not in INSIDE_VAULT:
            found |= {command.name: module.name for command in commands}
    return found


def test_the_table_and_the_modules_agree():
    assert commands_below(vosctl.cli) | {"rates": "rates.group"} == MODULES
    assert commands_below(vosctl.cli.rates) == {"rates": "group"} | group.MODULES


def test_help_lists_every_command_with_its_short_text(capsys):
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2]
    for name, command in cli.commands.items():
        text = command.get_short_help_str(200)
        assert text
        assert any(line.split() == [name, *text.split()] for line in listed.splitlines()), name


def test_a_misspelled_command_is_told_the_right_one(capsys):
    assert run(["aply"]) == 64
    assert "'apply'" in capsys.readouterr().err


def test_names_are_completed(monkeypatch):
    monkeypatch.setenv("COMP_WORDS", "vosctl va")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_VOSCTL_COMPLETE", "bash_complete")
    program = "from vosctl.cli.main import main; main()"
    words = (sys.executable, "-c", program)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["plain,validate", "plain,vault"], done.stderr


def test_commands_are_added_and_taken_away():
    commands = Commands()
    assert len(commands) == len(MODULES)
    commands["mine"] = click.Command("mine")
    assert "mine" in commands and commands["mine"].name == "mine" and "mine" in list(commands)
    del commands["mine"]
    assert commands.get("mine") is None
    with pytest.raises(KeyError):
        commands["mine"]


@pytest.mark.parametrize(
    ("words", "late"),
    [
        (["--version"], {"rich.console", "yaml", "cryptography", "jinja2", "vosctl.site.read", "paramiko"}),
        (
            ["validate", "--help"],
            {"vosctl.push.ssh", "vosctl.demo.story", "vosctl.review.make", "jsonschema"},
        ),
        (["apply", "--help"], {"vosctl.cli.diff", "vosctl.cli.demo", "jsonschema", "invoke", "asyncssh"}),
        (["ssh-keyscan", "--help"], {"invoke", "asyncssh"}),
    ],
)
def test_nothing_is_imported_that_a_command_does_not_need(words, late):
    program = (
        "import sys; from vosctl.cli.main import run; code = run(sys.argv[2:]); "
        "late = set(sys.argv[1].split()) & set(sys.modules); assert not late, late; sys.exit(code)"
    )
    command = (sys.executable, "-c", program, " ".join(late), *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr

"""Files that ansible-vault made (core 2.19) are brought over; with it at hand, what it makes now as well."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from vault_case import OPERATORS, opened, values

from vosctl.errors import InputError
from vosctl.secret import Secret
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.vault.ansible import Password
from vosctl.vault.bringing import bring
from vosctl.vault.sealing import decrypt, new_envelope

HERE = Path(__file__).parent / "ansible"
ONE, TWO = Password(Secret("ansible pass one")), Password(Secret("ansible pass two"), "prod")
PLAIN = 'keys:\n  ab: {value: u7XkQ2mZr94TbnLe}  # current\n  cd:\n    value: "Jw5p: x"\nport: 5060\n'
WHOLE = {
    "keys.ab.value": ("s", "u7XkQ2mZr94TbnLe"),
    "keys.cd.value": ("s", "Jw5p: x"),
    "port": ("i", "5060"),
}


def brought(text: str, *passwords: Password) -> str:
    return bring(text, "f.yml", passwords, new_envelope((OPERATORS,)))[0]


@pytest.mark.parametrize("name", ["whole-1.1.yml", "whole-1.2.yml"])
def test_whole_files(name):
    text = brought((HERE / name).read_text(), ONE, TWO)
    assert values(text) == WHOLE
    assert "# current" in text
    assert decrypt(opened(text), marked=False) == PLAIN


def test_single_values():
    text = brought((HERE / "inline-1.2.yml").read_text(), TWO)
    assert values(text) == {"keys.ab.value": ("s", "u7XkQ2mZr94TbnLe")}
    assert "# inline\n" in text and "  port: 5060  # stays\n" in text


@pytest.mark.parametrize(
    ("name", "passwords", "rule"),
    [
        ("whole-1.1.yml", (TWO,), "vault-ansible-password"),
        ("whole-1.2.yml", (), "vault-ansible-password"),
        ("inline-1.2.yml", (ONE,), "vault-ansible-password"),
    ],
)
def test_a_password_that_does_not_fit(name, passwords, rule):
    with pytest.raises(InputError) as failed:
        brought((HERE / name).read_text(), *passwords)
    assert failed.value.problems[0].rule == rule


def test_damage_is_said():
    text = (HERE / "whole-1.1.yml").read_text()
    for wrong in (text[:-40], text.replace("1.1", "1.0"), text.replace("AES256", "AES128"), "a: 1\n"):
        with pytest.raises(InputError) as failed:
            brought(wrong, ONE)
        assert failed.value.problems[0].rule.startswith("vault-ansible-")


@pytest.mark.parametrize("name", ["whole-1.1.yml", "inline-1.2.yml"])
def test_the_site_loader_points_to_import(name):
    problems = Problems()
    load_text((HERE / name).read_text(), "f.yml", problems)
    assert "vosctl vault import f.yml" in problems.found[0].hint


@pytest.mark.requires("ansible-vault")
def test_what_ansible_vault_makes_now(tmp_path):
    (tmp_path / "p").write_text("ansible pass one\n")
    file = tmp_path / "f.yml"
    file.write_text(PLAIN)
    words = ("ansible-vault", "encrypt", "--vault-password-file", str(tmp_path / "p"), str(file))
    subprocess.run(words, check=True, capture_output=True, cwd=tmp_path, timeout=60)
    assert values(brought(file.read_text(), ONE)) == WHOLE

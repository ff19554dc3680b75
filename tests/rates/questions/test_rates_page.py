"""What docs/rates.md and README.md show is what the example site answers, on a terminal of 80 columns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vosctl.cli import screen
from vosctl.cli.main import run
from vosctl.site.read import SiteOptions, read_site

ROOT = Path(__file__).parents[3]
PAGE = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("docs/rates.md", "README.md"))
MORE = "…"


def shown():
    """Yield each command of the page, with the lines below it."""
    for block in re.findall(r"^```\n(\$ vosctl rates .*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip().split("\n")
            if " -o " not in command:
                yield pytest.param(command, lines, id=command)


@pytest.mark.parametrize(("command", "lines"), list(shown()))
def test_the_page_shows_what_the_example_answers(command, lines, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(screen, "PIPE_WIDTH", 80)
    assert run(shlex.split(command)[1:]) == 0
    found = [line.rstrip() for line in capsys.readouterr().out.rstrip().split("\n")]
    for number, line in enumerate(lines):
        if line.strip() == MORE:
            rest = lines[number + 1 :]
            at = found.index(rest[0]) if rest else len(found)
            assert found[at : at + len(rest)] == rest
            return
        assert found[number] == line
    assert len(found) == len(lines)


def test_the_page_s_yaml_is_a_site(tmp_path, monkeypatch):
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/rates.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    *rates, guards = blocks
    acme = "acme: {type: mapping, addresses: [192.0.2.10], tier: small, rate_group: retail}"
    text = "".join((
        "demo: true\nfirewall: {admin: [198.51.100.0/24]}\n",
        *rates,
        '  clearing: {quartz: {rows: {"44": {rate: 0.01}}}}\n',
        guards.replace("type: routing", "type: routing\n    addresses: [192.0.2.12]\n    tier: small", 1)
        .replace("gateways:\n", f"gateways:\n  {acme}\n", 1),
    ))  # fmt: skip
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "decks").mkdir()
    (folder / "decks/retail.csv").write_text("prefix,rate\n49,0.02\n", encoding="utf-8")
    (folder / "hosts.yml").write_text("all: {hosts: {edge-a: {host: 192.0.2.1}}}\n", encoding="utf-8")
    (folder / "group_vars/all.yml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    site, problems = read_site(SiteOptions(playbook=None, inventory=(folder,)))
    assert [str(each) for each in problems.errors] == []
    found = site.nodes["edge-a"].rates
    assert found.groups["retail"].rows.keys() == {"44", "447", "4488", "49"}
    assert found.accounts["acme"].packages == ("france",) and found.phones["33123456789"].private


def test_the_page_shows_every_question():
    assert len(list(shown())) >= 7

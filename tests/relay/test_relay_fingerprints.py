"""Both ends of a trunk, real relays asked by the real agent, agree on its keys, and no answer holds one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from vosctl.cli.main import run
from vosctl.push import api, trunk_keys
from vosctl.push.options import PushOptions
from vosctl.secret import Secret
from vosctl.site.model import Connection, Encryption, Key, Trunk
from vosctl.site.tree import Mark

OLD, NEW = "0123456789abcdef", "ponmlkjihgfedcba"
MARK = Mark("trunks.yml", 1, 1)
K1, K2 = Key("k1", Secret(OLD), MARK), Key("k2", Secret(NEW), MARK)
TRUNK = Trunk("ab", ("edge-a", "edge-b"), Encryption.AES128, K1, (K1,), (), public=False, mark=MARK)
BOTH = replace(TRUNK, accept=(K1, K2))
OPTIONS = PushOptions(holder="tester@here", home=Path("/nonexistent"), agent=False, system_ssh=False)


def look(call, salt):
    nodes = {
        node.name: SimpleNamespace(
            name=node.name,
            connection=Connection(
                kind="local", host="localhost", root=node.root, port=22, user=None, become=False,
                private_key=None, ssh_config=None, known_hosts=None,
            ),
        )
        for node in (call.a, call.b)
    }  # fmt: skip
    return api.keys_site(SimpleNamespace(nodes=nodes, selected=tuple(nodes)), salt=salt, options=OPTIONS)


def told(call, trunk):
    salt = trunk_keys.new_salt()
    return trunk_keys.disagreements(trunk, look(call, salt), salt)


def test_the_two_ends_are_held_against_the_site_through_a_rotation(joined):
    call = joined("aes128").place()
    assert told(call, TRUNK) == []
    missing = [f"{end}: key k2 is not there" for end in TRUNK.ends]
    assert told(call, BOTH) == missing
    call.a.ask("stage", trunk="ab", kid="k2", value=NEW)
    assert told(call, BOTH) == missing[1:]
    assert told(call, TRUNK) == ["edge-a: key k2 is still accepted"]
    call.b.ask("stage", trunk="ab", kid="k2", value=NEW[::-1])
    assert told(call, BOTH) == ["edge-b: key k2 is another one than the site's"]
    call.b.ask("retire", trunk="ab", kid="k2")
    call.b.ask("stage", trunk="ab", kid="k2", value=NEW)
    assert told(call, BOTH) == []
    call.a.ask("activate", trunk="ab", kid="k2")
    assert told(call, BOTH) == ["edge-a: new calls use key k2, the site says k1"]
    assert told(call, replace(BOTH, name="cd"))[0] == "edge-a: its relay knows no keys of trunk cd"


def test_no_answer_holds_a_key_and_each_look_has_other_fingerprints(joined):
    call = joined("xor")
    looks = [look(call, trunk_keys.new_salt()) for _ in range(2)]
    first, second = (found["edge-a"].report["trunks"]["ab"] for found in looks)
    assert first["fingerprints"].keys() == {"k1"}
    assert first["fingerprints"] != second["fingerprints"]
    assert "Key1" not in json.dumps([found["edge-a"].report for found in looks])


def test_an_end_that_does_not_answer_is_no_agreement(joined):
    call = joined("aes128")
    call.b.stop()
    [words] = told(call, TRUNK)
    assert words.startswith("edge-b: ")
    assert "the relay does not answer" in words
    salt = trunk_keys.new_salt()
    found = look(call, salt)
    del found["edge-a"]
    assert trunk_keys.disagreements(TRUNK, found, salt)[0] == "edge-a: was not asked"
    assert found["edge-b"].exit_code == 2


@pytest.mark.parametrize("salt", ["", "short", "x" * 129, 7])
def test_a_salt_that_a_table_could_be_made_for_is_refused(joined, salt):
    reply = joined("aes128").a.ask("keys", salt=salt)
    assert (reply["ok"], reply["error"]) == (False, "salt: a text of 32 to 128 characters")


def test_the_relay_without_a_salt_tells_no_fingerprint(joined):
    assert "fingerprints" not in joined("aes128").a.ask("keys")["trunks"]["ab"]


SITE = """all:
  vars:
    firewall: {{admin: [192.0.2.0/24]}}
    keys: {{k1: {{value: {key}}}}}
    trunks:
      ab: {{ends: [edge-a, edge-b], encryption: aes128, key: k1}}
  hosts:
    edge-a: {{connection: local, root: {a}, relay: {{enabled: true, addresses: [192.0.2.1]}}}}
    edge-b: {{connection: local, root: {b}, relay: {{enabled: true, addresses: [192.0.2.2]}}}}
"""


def test_vosctl_keys_tells_the_operator(joined, tmp_path, capfd):
    value = "u7XkQ2mZr94TbnLe"
    hosts = tmp_path / "hosts.yml"
    call = joined("aes128")
    hosts.write_text(SITE.format(key=value, a=call.a.root, b=call.b.root))
    assert run(["keys", "-i", str(hosts)]) == 2
    out, err = capfd.readouterr()
    assert "  edge-a: key k1 is another one than the site's\n" in out, err
    for node in (call.a, call.b):
        node.keys["k1"] = value
        node.write()
        assert node.ask("reload") == {"ok": True}
    call.place()
    assert run(["keys", "--trunk", "ab", "-i", str(hosts)]) == 0
    assert capfd.readouterr().out == (
        "ab (edge-a - edge-b, aes128): new calls use k1, of unknown age\n"
        "  edge-a: calls by key: k1: 1\n  edge-b: calls by key: k1: 1\n"
        "  both ends hold the site's keys\n"
    )
    assert run(["keys", "--json", "-i", str(hosts)]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["ab"]["disagreements"] == []
    assert value not in out + err
    assert run(["keys", "--trunk", "ac", "-i", str(hosts)]) != 0
    assert "no trunk with keys is called ac" in capfd.readouterr().err
    call.b.stop()
    assert run(["keys", "-i", str(hosts)]) == 2
    assert "edge-b: the relay does not answer" in capfd.readouterr().out

"""Values that need no trial: every kernel takes them, and shows them as they were written."""

from __future__ import annotations

import pytest
from agent_client import Machine, Wanted

from vosctl.push.agent import rules, shapes

HOOK = ("filter", "INPUT", "VOS-INPUT")
COMMENT = '-m comment --comment "{}"'
STRING = '-p udp -m string --string "{}" --algo bm'
HEX = '-p udp -m string --hex-string "|{}|" --algo bm --from 28 --to 1052 --icase'

# By rule the values, the first of which is loaded already.
FREE = {
    4: {
        "-s {}": ("192.0.2.1/32", "198.51.100.0/24", "10.0.0.0/8", "0.0.0.0/1", "255.255.255.255/32"),
        "! -s {} -d 192.0.2.9/32": ("192.0.2.1/32", "203.0.113.128/25"),
        "-p udp -m udp --sport 5060 --dport {}": ("5080", "1", "65535", "10000"),
        COMMENT: ("a b", "trunk: gw-1 [7], 50% /a", "x" * 253 + " y", "-s 10.0.0.1/8 in words", "a|b", "a.b"),
        STRING: ("friendly-scanner", "a", " two  words ", "%s $x `y` ; & * ? it's", "x" * 127, "-j ACCEPT"),
        HEX: ("0a557365722d4167656e743a", "00", "ff", "0d0a" * 63, "7f", "0a" + "7c" * 3),
    },
    6: {
        "-s {}": ("2001:db8::1/128", "2001:db8::/32", "fe80::/10", "::1/128", "2001:db8:0:1::/64"),
        "-d {}": ("2001:db8::1/128", "2000::/3"),
    },
}  # fmt: skip
# By rule a value that is loaded, and others that iptables refuses or shows in other words.
OTHERS = {
    "-s {}": (
        "192.0.2.1/32",
        ("192.0.2.1", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/024", "0.0.0.0/0", "192.0.2.1/255.255.255.255",
         "192.0.2.256/32", "host.example", "2001:db8::1/128", "192.0.2.1/32,192.0.2.2/32", "192.0.2.1/٣٢"),
    ),
    "-d {}": ("2001:db8::1/128", ("2001:DB8::1/128", "2001:db8:0::1/128", "2001:db8::1/64", "192.0.2.1/32", "::/0")),
    "--dport {}": ("5060", ("65536", "0", "05060", "sip", "5060:5070", "-1")),
    COMMENT: ("a b", ("word", "with-dash_and_1", "it's so", "", "x" * 255 + " ", "é a", "tab\there")),
    STRING: ("abc", ("", "x" * 128, "ends with a bar|", "é", "tab\there")),
    HEX: ("0a0b", ("0a0", "0A0B", "0a 0b", "616263", "", "00" * 128, "zz")),
}  # fmt: skip


def table(*found: str) -> rules.Table:
    text = "".join(f"-A VOS-INPUT {rule}\n" for rule in found)
    return rules.wanted_tables(f"*filter\n:VOS-INPUT - [0:0]\n{text}COMMIT\n", [HOOK])["filter"]


@pytest.mark.netns
@pytest.mark.requires("iptables")
@pytest.mark.parametrize("family", FREE)
def test_a_kernel_shows_what_it_was_told_of_as_it_is_written(host: Machine, family: int) -> None:
    first = [f"{shape.format(values[0])} -j DROP" for shape, values in FREE[family].items()]
    others = [f"{shape.format(value)} -j DROP" for shape, values in FREE[family].items() for value in values]
    told = table(*first)
    assert [rule for rule in table(*others).rules if not told.tells_of(rule)] == []
    program = f"{'iptables' if family == 4 else 'ip6tables'}-{host.name}"
    wanted = table(*others).rules
    script = "*filter\n:VOS-INPUT - [0:0]\n" + "\n".join(wanted) + "\nCOMMIT\n"
    host.path("/tmp/rules").write_text(script)
    host.run(f"{program}-restore --noflush </tmp/rules")
    try:
        saved = host.run(f"{program}-save -t filter").splitlines()
        assert [line for line in saved if line.startswith("-A VOS-INPUT")] == wanted
    finally:
        host.run(f"{program} -F VOS-INPUT; {program} -X VOS-INPUT; rm /tmp/rules")


@pytest.mark.parametrize("shape", OTHERS)
def test_other_values_are_tried_on_the_kernel(shape: str) -> None:
    first, others = OTHERS[shape]
    told = table(f"{shape.format(first)} -j DROP")
    assert [value for value in others if told.tells_of(f"-A VOS-INPUT {shape.format(value)} -j DROP")] == []


def test_what_looks_like_an_option_within_quotes_is_none() -> None:
    held = '-A VOS-INPUT -j LOG --log-prefix "a -s 192.0.2.1/32 "'
    other = '-A VOS-INPUT -j LOG --log-prefix "a -s 198.51.100.1/32 "'
    assert shapes.loaded(held) == shapes.wanted(held) == held
    assert shapes.wanted(other) == other


def test_a_rule_of_another_chain_target_or_option_is_another() -> None:
    told = table("-s 192.0.2.1/32 -j DROP", "-p udp -m udp --dport 5060 -j DROP")
    for rule in (
        "-A VOS-OTHER -s 192.0.2.2/32 -j DROP",
        "-A VOS-INPUT -s 192.0.2.2/32 -j ACCEPT",
        "-A VOS-INPUT -d 192.0.2.2/32 -j DROP",
        "-A VOS-INPUT ! -s 192.0.2.2/32 -j DROP",
        "-A VOS-INPUT -p tcp -m tcp --dport 5060 -j DROP",
        "-A VOS-INPUT -s 2001:db8::1/128 -j DROP",
    ):
        assert not told.tells_of(rule), rule


@pytest.mark.netns
@pytest.mark.requires("iptables", "ipset", "unshare")
def test_a_new_value_is_neither_rehearsed_nor_asked_for(nft: Machine) -> None:
    def wanted(word: str, port: int) -> Wanted:
        text = f"*filter\n:VOS-INPUT - [0:0]\n-A VOS-INPUT -p udp -m udp --dport {port} -j ACCEPT\n"
        text += f'-A VOS-INPUT -p udp -m string --hex-string "|0a{word}|" --algo bm -j DROP\nCOMMIT\n'
        return Wanted().rules(text, HOOK)

    nft.settle(wanted("61", 5060))
    asked = nft.path("/var/tmp/asked")
    spies = {"iptables-nft": "/usr/sbin", "iptables-nft-save": "/usr/sbin", "unshare": "/usr/bin"}
    for name, folder in spies.items():
        place = nft.path(f"/usr/local/sbin/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f'#!/bin/sh\necho "{name} $*" >>/var/tmp/asked\nexec {folder}/{name} "$@"\n')
        place.chmod(0o755)

    def asks(state: Wanted) -> list[str]:
        asked.write_text("")
        nft.settle(state)
        return [line.split()[0] for line in asked.read_text().splitlines()]

    try:
        # What lies in /usr/local/sbin counts for what is remembered of the rules.
        nft.settle(wanted("62", 5060))
        assert asks(wanted("6263", 5080)) == []
        assert '"|0a6263|"' in nft.rules()
        # As the kernel itself tells.
        nft.run("rm -f /run/vosctl/rules-*")
        assert nft.inspect(wanted("6263", 5080))["rulesets"]["4"]["intact"]
        # A rule of another shape is rehearsed, and the kernel asked how it shows it.
        text = "*filter\n:VOS-INPUT - [0:0]\n-A VOS-INPUT -p udp -m udp --dport 5060:5080 -j ACCEPT\nCOMMIT\n"
        assert asks(Wanted().rules(text, HOOK)) == ["unshare", "iptables-nft"]
    finally:
        nft.run(f"cd /usr/local/sbin && rm -f {' '.join(spies)} /var/tmp/asked")

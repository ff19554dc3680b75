"""Every configuration here is resolved by OpenSSH's own ``ssh -G`` as well, and both must agree."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path

import pytest
from push_samples import connection, options

from vosctl.errors import UsageError
from vosctl.push.ssh_config import DEFAULT_KEYS, SshConfig

pytestmark = pytest.mark.requires("ssh")
HOSTS = ("edge-a", "edge-b.example.net", "10.1.2.3", "2001:db8::7", "JUMP", "bastion", "other")

CONFIGS = {
    "first value wins": "Host edge-*\n Port 2022\nHost *\n Port 22222\n User all\n",
    "equals and quotes": 'Host=edge-a\n  Port = 2200\n User="a b"\n"HostName" 192.0.2.1\nIdentityFile "/k/with blank"\n',
    "comments": "# one\n\n Host edge-a # two\n\tPort 44 # three\n  #User x\n User y\n",
    "negation": "Host edge-* !edge-b*\n Port 1\nHost !edge-a *\n User notA\nHost !edge-a\n Port 7\n",
    "question marks": "Host edge-?\n Port 5\nHost 10.1.?.3 10.*\n User ten\n",
    "host names with tokens": "Host edge-a\n HostName %h.example.net\nHost bastion\n HostName %%%h\n",
    "upper case": "Host jump\n Port 9\nHost JUMP\n User up\nMatch host jump\n Port 99\n",
    "lists add up": "IdentityFile /a\nHost edge-a\n IdentityFile /b\n IdentityFile /a\nHost *\n IdentityFile ~/c\n",
    "certificates": "CertificateFile /a-cert.pub\nHost edge-a\n CertificateFile ~/b\n",
    "tokens in files": "User deploy\nPort 77\nIdentityFile ~/%r@%h:%p\nUserKnownHostsFile ~/kh/%h /tmp/%n.%%\n",
    "environment": "IdentityFile ${VOSCTL_TEST_DIR}/k\nUserKnownHostsFile ${VOSCTL_TEST_DIR}/kh\n",
    "known hosts": "UserKnownHostsFile /a /b\nUserKnownHostsFile /c\nGlobalKnownHostsFile /d /e\n",
    "known hosts of one": "Host edge-a\n UserKnownHostsFile none\n GlobalKnownHostsFile none\n",
    "jumps": "Host edge-a\n ProxyJump u@one:22,two\nHost *\n ProxyJump three\n",
    "no jump": "Host edge-a\n ProxyJump none\nHost *\n ProxyJump three\n",
    "jump over command": "ProxyJump one\nProxyCommand nc %h %p\n",
    "command over jump": "ProxyCommand nc %h %p # x\nProxyJump one\n",
    "no jump but a command": "ProxyJump none\nProxyCommand nc %h\nProxyJump two\n",
    "no command": "ProxyCommand none\nProxyJump one\n",
    "command with quotes": "ProxyCommand sh -c 'nc \"%h\" %p'  \n",
    "jumps in brackets": "ProxyJump [2001:db8::1]:2200\n",
    "times": "ConnectTimeout 90\nServerAliveInterval 1m30s\nServerAliveCountMax 5\nConnectionAttempts 3\n",
    "times of one letter": "ConnectTimeout 1h\nServerAliveInterval 2m\n",
    "no time": "ConnectTimeout none\nServerAliveInterval 0\n",
    "strict": "Host edge-a\n StrictHostKeyChecking accept-new\nHost *\n StrictHostKeyChecking yes\n",
    "not strict": "StrictHostKeyChecking no\n",
    "switches": "IdentitiesOnly yes\nHashKnownHosts yes\nPubkeyAuthentication no\nAddressFamily inet6\nBindAddress ::1\n",
    "alias": "HostKeyAlias the-edge\n",
    "held": "Host edge-*\n ControlPersist 2m\nHost edge-a\n ControlMaster auto\nHost *\n ControlPersist yes\n ControlMaster no\n",
    "held without end": "ControlMaster yes\nHost edge-a\n ControlPersist 0\nHost JUMP\n ControlPersist no\nHost bast*\n ControlPersist 5\nHost other\n ControlPersist yes\n",
    "agent": "IdentityAgent /tmp/%u.sock\n",
    "no agent": "Host edge-a\n IdentityAgent none\nHost *\n IdentityAgent SSH_AUTH_SOCK\n",
    "match host": "Host edge-a\n HostName 192.0.2.9\nMatch host 192.0.2.*\n User numbers\nMatch originalhost edge-a\n Port 8\n",
    "match lists": "Match host edge-*,!edge-b*\n Port 1\nMatch host JUMP,bastion user root\n Port 2\n",
    "match negated": "Match !host edge-a\n Port 3\nMatch !originalhost edge-a,bastion !user root\n User none\n",
    "match all": "Match all\n Port 6\n",
    "match user": "User deploy\nMatch user deploy\n Port 4\nMatch user root\n Port 5\n",
    "match local user": "Match localuser ME\n Port 4\nMatch localuser nobody-at-all\n Port 5\n",
    "match exec": 'Match exec "test %h = edge-a"\n Port 4\nMatch !exec "test %n = edge-a" user *\n User other\n',
    "match with equals": "Match host=edge-a\n Port 4\nMatch originalhost=bastion user=*\n Port 5\n",
    "match final": "Host edge-a\n HostName 192.0.2.9\nMatch final host 192.0.2.*\n Port 9\nHost 192.0.2.9\n User second\n",
    "match final alone": "Match final\n Port 9\nMatch final all\n User last\nHost *\n Port 10\n",
    "include": "Include INC/*.conf\nHost *\n Port 1\n",
    "include in a block": "Host edge-a\n Include INC/*.conf\n User after\nHost *\n User all\n",
    "include with a host": "Host bastion\n Include INC/host\n Port 31\n",
    "include of nothing": "Include /nowhere/* INC/host\nPort 3\n",
    "include twice": "Include INC/10.conf INC/host\nInclude INC/host\n",
    "nested include": "Include INC/nested\n",
    "unknown but ignored": "IgnoreUnknown Foo*,Bar\nFooBar yes\nBar no\nPort 3\n",
    "harmless": "ForwardAgent yes\nControlMaster auto\nControlPath ~/.ssh/%C\nSendEnv LANG LC_*\nCompression yes\nPort 8\n",
    "not asked for": "Host nowhere-else\n VerifyHostKeyDNS yes\n RevokedHostKeys /none\nHost *\n Port 8\n",
    "crlf": "Host edge-a\r\n Port 2022\r\n User x\r\n",
    "backslashes": 'IdentityFile /a\\ b\nUser a\\"b\n',
}
INCLUDED = {
    "10.conf": "Port 10\nHost edge-a\n Port 11\n",
    "20.conf": "Host bastion\n User b\n IdentityFile /b20\nHost edge-*\n IdentityFile /e20\n",
    "host": "Host edge-a\n Port 12\nMatch host bastion\n Port 30\n",
    "nested": "Host edge-a\nInclude INC/10.conf\nPort 40\n",
    "not-taken": "Port 1111\n",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("VOSCTL_TEST_DIR", "/from/environment")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "inc").mkdir()
    for name, text in INCLUDED.items():
        (tmp_path / "inc" / name).write_text(text.replace("INC", str(tmp_path / "inc")))
    return tmp_path


def write(place: Path, text: str) -> Path:
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    path = place / "config"
    path.write_bytes(text.replace("INC", str(place / "inc")).replace("ME", me).encode())
    return path


def openssh(path: Path, host: str, *arguments: str) -> dict[str, list[str]] | None:
    done = subprocess.run(
        ["ssh", "-G", "-F", path, *arguments, host], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return None
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


def ours(path: Path, host: str, **fields) -> dict[str, object]:
    config = SshConfig(options(ssh_config=path, home=Path.home(), agent=True, system_ssh=True))
    found = config.endpoint(connection(host, **fields))
    own = {Path.home() / ".ssh" / name for name in DEFAULT_KEYS}
    return {
        "hostname": found.address,
        "port": found.port,
        "user": found.user,
        "keys": [str(key) for key in found.keys if key not in own],
        "certificates": [str(path) for path in found.certificates],
        "known_hosts": [str(path) for path in found.known_hosts],
        "jumps": ",".join(found.jumps),
        "command": found.proxy_command or "",
        "agent": found.agent_socket or "SSH_AUTH_SOCK",
        "only": found.only,
        "strict": found.strict if found.strict in ("yes", "accept-new") else "no",
        "timeout": found.connect_timeout,
        "attempts": found.attempts,
        "alive": (found.alive_interval, found.alive_count),
        "family": found.family,
        "bind": found.bind,
        "hash": found.hash_names,
        "public_key": found.public_key,
        "persist": found.persist,
    }


def theirs(said: dict[str, list[str]], path: Path, host: str) -> dict[str, object]:
    def one(name: str, default: str = "") -> str:
        return said.get(name, [default])[0]

    def file(text: str) -> str:
        # ssh -G leaves tokens in some values as they stand
        for token, value in (
            ("%h", one("hostname")), ("%p", one("port")), ("%r", one("user")), ("%n", host),
            ("%u", Path.home().owner()), ("${VOSCTL_TEST_DIR}", "/from/environment"), ("%%", "%"),
        ):  # fmt: skip
            text = text.replace(token, value)
        return str(Path.home() / text[2:]) if text.startswith("~/") else text

    own = {"/etc/ssh/ssh_known_hosts2", str(Path.home() / ".ssh/known_hosts2"), "none"}
    files = [*one("userknownhostsfile").split(), *one("globalknownhostsfile").split()]
    keys = dict.fromkeys(
        file(key) for key in said.get("identityfile", []) if not key.startswith("~/.ssh/id_")
    )
    interval = float(one("serveraliveinterval"))
    persist = {"no": 0.0, "yes": math.inf, "120": 120.0, "5": 5.0}
    return {
        "hostname": one("hostname"),
        "port": int(one("port")),
        "user": one("user"),
        "keys": list(keys),
        "certificates": [file(name) for name in said.get("certificatefile", [])],
        "known_hosts": [file(name) for name in files if file(name) not in own],
        "jumps": one("proxyjump"),
        "command": one("proxycommand").replace("%h", one("hostname")).replace("%p", one("port")),
        "agent": file(one("identityagent", "SSH_AUTH_SOCK")),
        "only": one("identitiesonly") == "yes",
        "strict": {"true": "yes", "ask": "yes", "false": "no"}.get(
            one("stricthostkeychecking"), one("stricthostkeychecking")
        ),
        "timeout": None if one("connecttimeout") == "none" else float(one("connecttimeout")),
        "attempts": int(one("connectionattempts")),
        "alive": (interval, int(one("serveralivecountmax"))),
        "family": one("addressfamily"),
        "bind": said.get("bindaddress", [None])[0],
        "hash": one("hashknownhosts") == "yes",
        "public_key": one("pubkeyauthentication") not in ("no", "false"),
        "persist": 0.0 if one("controlmaster") == "false" else persist[one("controlpersist", "no")],
    }


def compared(path: Path, host: str, arguments: tuple[str, ...] = (), **fields) -> None:
    said = openssh(path, host, *arguments)
    assert said is not None
    mine = ours(path, host, **fields)
    wanted = theirs(said, path, host)
    if "serveralive" not in path.read_text().lower():
        mine["alive"] = wanted["alive"]  # ours watches over its connections where nobody says how
    assert mine == wanted


@pytest.mark.parametrize("name", CONFIGS)
def test_same_as_openssh(place, name):
    path = write(place, CONFIGS[name])
    for host in HOSTS:
        compared(path, host)
    compared(path, "edge-a", ("-l", "root", "-p", "2323"), user="root", port=2323)


PIECES = (
    "Host edge-a", "Host edge-*", "Host * !bastion", "Host 10.* JUMP", "Match host edge-*", "Match user root",
    "Match originalhost bastion,10.*", "Match !host edge-a", "Match final", "Match all", "Match user u1 host *",
    "Match final host *.net", 'Match exec "test %p = 2"', "HostName %h.net", "HostName bastion", "Port 2", "Port 3",
    "User root", "User u1", "IdentityFile /k1", "IdentityFile /k%p", "ProxyJump one", "ProxyJump none",
    "ProxyCommand nc %h", "ProxyCommand none", "UserKnownHostsFile /kh /kh%p", "Include INC/10.conf",
    "Include INC/host", "StrictHostKeyChecking no", "IdentitiesOnly yes", "ConnectTimeout 5", "HostKeyAlias x",
    "ControlMaster auto", "ControlMaster no", "ControlPersist 2m", "ControlPersist yes",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_same_as_openssh_for_what_chance_makes(place, seed):
    chance = random.Random(seed)
    for _ in range(3):
        text = "".join(f"{chance.choice(PIECES)}\n" for _ in range(chance.randint(4, 14)))
        path = write(place, text)
        for host in chance.sample(HOSTS, 2):
            compared(path, host)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Port 22x\n", "config:1: port 22x: a number"),
        ("\nPort 0\n", "config:2: port 0"),
        ("Port 65536\n", "config:1: port 65536"),
        ("Port\n", "config:1: port has no value"),
        ("Nonsense yes\n", "config:1: nonsense is not known"),
        ("Host nowhere\n Nonsense yes\n", "config:2: nonsense is not known"),
        ("User 'a\n", "config:1: a quote ' is not closed"),
        ("Host\n", "config:1: Host has no pattern"),
        ("Match\n", "config:1: Match has no condition"),
        ("Match nonsense x\n", "config:1: Match knows no 'nonsense'"),
        ("Match user\n", "config:1: Match user has no argument"),
        ("StrictHostKeyChecking perhaps\n", "config:1: stricthostkeychecking perhaps: one of"),
        ("ConnectTimeout soon\n", "config:1: connecttimeout soon is no time"),
        ("AddressFamily inet5\n", "config:1: addressfamily inet5: one of"),
        ("IdentityFile %y\n", "config:1: %y is not supported in identityfile"),
        ("IdentityFile ${VOSCTL_NOT_SET}\n", "config:1: the environment variable VOSCTL_NOT_SET is not set"),
        ("= x\n", "config:1: this is no setting"),
        ("Include SELF\n", "config:1: Include goes 17 files deep"),
    ],
)
def test_what_openssh_refuses_is_refused_with_its_place(place, text, words):
    path = write(place, text.replace("SELF", str(place / "config")))
    with pytest.raises(UsageError) as caught:
        SshConfig(options(ssh_config=path)).endpoint(connection("edge-a"))
    assert words in str(caught.value)
    if "IdentityFile" not in text:  # ssh -G does not look into those
        assert openssh(path, "edge-a") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Match canonical\n Port 3\n", "config:1: Match canonical is not supported"),
        ("Match localnetwork 10.0.0.0/8\n", "config:1: Match localnetwork is not supported"),
        ("Match tagged x\n", "config:1: Match tagged is not supported"),
        ("CanonicalizeHostname yes\n", "config:1: canonicalizehostname yes is not supported"),
        ("VerifyHostKeyDNS yes\n", "config:1: verifyhostkeydns yes is not supported"),
        ("RevokedHostKeys /r\n", "config:1: revokedhostkeys /r is not supported"),
        ("PKCS11Provider /p.so\n", "config:1: pkcs11provider /p.so is not supported"),
        ("RemoteCommand top\n", "config:1: remotecommand top is not supported"),
        ("KnownHostsCommand /x\n", "config:1: knownhostscommand /x is not supported"),
        ("ProxyJump a@:22\n", "config:1: ProxyJump a@:22"),
    ],
)
def test_what_is_not_followed_is_refused_with_its_place_where_it_applies(place, text, words):
    path = write(place, f"{text}\n")
    with pytest.raises(UsageError) as caught:
        SshConfig(options(ssh_config=path)).endpoint(connection("edge-a"))
    assert words in str(caught.value)
    assert caught.value.hint
    other = write(place, f"Host nowhere\n {text}\n")
    if not text.startswith("Match"):
        assert SshConfig(options(ssh_config=other)).endpoint(connection("edge-a")).port == 22


def test_included_files_lie_beside_the_file_that_the_user_has(tmp_path):
    (tmp_path / ".ssh" / "conf.d").mkdir(parents=True)
    (tmp_path / ".ssh" / "config").write_text("Include conf.d/*\nInclude ~/more\nHost *\n User last\n")
    (tmp_path / ".ssh" / "conf.d" / "a").write_text("Port 71\n")
    (tmp_path / "more").write_text("User more\n")
    found = SshConfig(options(home=tmp_path)).endpoint(connection("edge-a"))
    assert (found.port, found.user) == (71, "more")


def test_match_exec_runs_once_for_equal_commands_and_not_behind_what_does_not_hold(tmp_path):
    log = tmp_path / "log"
    path = tmp_path / "config"
    path.write_text(
        f"Match exec 'echo x >> {log}'\n Port 4\nMatch host nowhere exec 'echo no >> {log}'\n Port 5\n"
        f"Host nowhere\nMatch all\n User u\n"
    )
    config = SshConfig(options(ssh_config=path))
    assert [config.endpoint(connection(host)).port for host in ("a", "b")] == [4, 4]
    assert log.read_text() == "x\n"


def test_first_jump_brings_its_own_jumps_and_a_loop_ends(tmp_path):
    path = tmp_path / "config"
    path.write_text(
        "Host edge\n ProxyJump b,c\nHost b\n ProxyJump root@a:2222\nHost c\n ProxyJump never\n"
        "Host x\n ProxyJump y\nHost y\n ProxyJump x\n"
    )
    config = SshConfig(options(ssh_config=path))
    route = config.route(connection("edge"))
    assert [(hop.address, hop.port) for hop in route] == [("a", 2222), ("b", 22), ("c", 22), ("edge", 22)]
    assert route[0].user == "root"
    with pytest.raises(UsageError, match="jump through itself"):
        config.route(connection("x"))

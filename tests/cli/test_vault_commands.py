"""vosctl vault in a scratch repository: what operators type, what git shows and merges, and what never shows."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

VOSCTL = str(Path(sys.executable).with_name("vosctl"))
KEYS = "inventory/group_vars/all/keys.yml"
SECRETS = ("u7XkQ2mZr94TbnLe", "Jw5pVe81sHdYq3Ct", "abcdEFGH12345678", "four drawn words here")
SITE = {
    "inventory/hosts.yml": "all:\n  hosts:\n    edge-a: {ansible_host: 192.0.2.1}\n",
    "inventory/group_vars/all/main.yml": "firewall: {admin: [198.51.100.0/24]}\nrelay: {addresses: [192.0.2.1]}\n",
    KEYS: "# ours\nkeys:\n  k1: {value: u7XkQ2mZr94TbnLe}  # first\n  k2: {value: Jw5pVe81sHdYq3Ct}\n",
}


class Repository:
    """A site in git with its own home; every output is kept and held against the secrets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": f"{Path(VOSCTL).parent}:{os.environ['PATH']}", "HOME": str(folder / "home"), "EDITOR": "false",
            "VOSCTL_VAULT_PASSWORD_FILE": str(folder / "pw"), "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "e", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "e",
        }  # fmt: skip
        for name, text in SITE.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.password("pw", "four drawn words here")
        self.git("init", "-q", "-b", "main")

    def password(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text + "\n")
        (self.folder / name).chmod(0o600)

    def run(self, *words: str, code: int | None = 0, shows: bool = False, text: str = "", **env: str) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env={**self.env, **env}, input=text, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, said
        assert shows or not [secret for secret in SECRETS if secret in said], said
        return said

    def vault(self, *words: str, **options) -> str:
        return self.run(VOSCTL, "vault", *words, **options)

    def git(self, *words: str, **options) -> str:
        return self.run("git", *words, **options)

    def commit(self, message: str) -> None:
        self.git("add", "inventory", ".gitattributes", "vault-recipients.yml")
        self.git("commit", "-qm", message)


@pytest.fixture
def site(tmp_path):
    made = Repository(tmp_path)
    made.vault("init", "--cost", "10", "--new-password-file", "pw", "--git")
    made.vault("encrypt", KEYS)
    made.commit("begin")
    return made


def text(site: Repository) -> str:
    return (site.folder / KEYS).read_text()


def typed(site: Repository, *answers: str, words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command on a terminal of its own and type an answer at each prompt; return its exit code and all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.folder)
        os.execve(words[0], words, {**site.env, "VOSCTL_VAULT_PASSWORD_FILE": ""})
    shown, left = b"", list(answers)
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
            if left and shown.count(b": ") > len(answers) - len(left) and shown.endswith(b": "):
                os.write(terminal, left.pop(0).encode() + b"\n")
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_the_password_is_asked_for_on_a_terminal_and_not_shown(site):
    code, shown = typed(site, "four drawn words here", words=(VOSCTL, "validate", "--ask-vault-pass"))
    assert (code, "no errors" in shown, "Vault password: " in shown) == (0, True, True)
    assert "four drawn words here" not in shown
    code, shown = typed(site, "three other words", words=(VOSCTL, "validate", "-J"))
    assert code == 1
    assert "password" in shown and "three other words" not in shown
    said = site.run("setsid", VOSCTL, "validate", "-J", code=64, VOSCTL_VAULT_PASSWORD_FILE="")
    assert "there is no terminal to ask on" in said


def test_a_new_password_is_asked_for_twice(site):
    words = (VOSCTL, "vault", "recipients", "add", "oncall", "--passphrase", "--cost", "10", "-J")
    code, shown = typed(site, "five words of my own", "five words of your own", words=words)
    assert code == 64 and "the two differ" in shown, shown
    answers = "five words of my own", "five words of my own", "four drawn words here"
    code, shown = typed(site, *answers, words=words)
    assert code == 0 and not [word for word in answers if word in shown], shown
    site.password("mine", "five words of my own")
    assert "no errors" in site.run(VOSCTL, "validate", VOSCTL_VAULT_PASSWORD_FILE="mine")


def test_the_system_keyring_has_the_password(site):
    mine = {
        "VOSCTL_VAULT_PASSWORD_FILE": "", "XDG_DATA_HOME": str(site.folder / "data"),
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
    }  # fmt: skip
    said = site.run(VOSCTL, "validate", "--vault-keyring", "voice", code=64, **mine)
    assert "the keyring has no password of voice" in said and "keyring set voice vosctl" in said
    keyring = str(Path(VOSCTL).with_name("keyring"))
    site.run(keyring, "set", "voice", "vosctl", text="four drawn words here\n", **mine)
    assert "no errors" in site.run(VOSCTL, "validate", "--vault-keyring", "voice", **mine)
    locked = {**mine, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert "the keyring cannot be asked" in site.run(
        VOSCTL, "validate", code=64, VOSCTL_VAULT_KEYRING="voice", **locked
    )


def test_an_encrypted_site_is_read_as_a_plain_one(site):
    assert "no errors" in site.run(VOSCTL, "validate")
    assert "<secret " in site.run(VOSCTL, "explain", "edge-a", "keys.k1.value")
    said = site.run(VOSCTL, "validate", code=1, VOSCTL_VAULT_PASSWORD_FILE="")
    assert f"{KEYS}:6:1" in said and "vault-locked" in said and "--vault-password-file" in said
    site.password("wrong", "not these four words")
    assert "vault-password" in site.run(VOSCTL, "validate", "--vault-password-file", "wrong", code=1)


def test_a_program_and_the_environment_give_the_password(site):
    program = site.folder / "ask"
    program.write_text("#!/bin/sh\necho four drawn words here\n")
    program.chmod(0o700)
    assert "no errors" in site.run(VOSCTL, "validate", "--vault-password-file", "./ask")
    given = {"VOSCTL_VAULT_PASSWORD_FILE": "", "VOSCTL_VAULT_PASSWORD": "four drawn words here"}
    assert "no errors" in site.run(VOSCTL, "validate", **given)
    (site.folder / "pw").chmod(0o644)
    assert "others may read" in site.run(VOSCTL, "validate", code=64)


def test_set_view_decrypt(site):
    before = text(site)
    site.vault("set", KEYS, "keys.k3.value", "--value-file", "-", text="abcdEFGH12345678\n")
    site.vault("set", KEYS, "custom.port", "--type", "int", "--value-file", "-", text="5060\n")
    assert set(before[: before.index("# Enc")].splitlines()) < set(text(site).splitlines())
    assert "    value: abcdEFGH12345678\n" in site.vault("view", KEYS, shows=True)
    site.vault("decrypt", KEYS)
    assert text(site).startswith(SITE[KEYS])
    assert text(site).endswith("  k3:\n    value: abcdEFGH12345678\ncustom:\n  port: 5060\n")


def test_edit_changes_one_line_and_leaves_nothing_behind(site):
    script = site.folder / "edit.sh"
    script.write_text(
        "#!/bin/sh\nstat -c '%a %n' \"$1\" >>seen\ngrep -q 'k2: {value: !secret Jw5p' \"$1\" || exit 9\n"
        'if [ ! -e once ]; then touch once; echo "  broken: [" >>"$1"; exit; fi\n'
        "sed -i -e '/broken/d' -e s/u7XkQ2mZr94TbnLe/abcdEFGH12345678/ \"$1\"\n"
    )
    script.chmod(0o700)
    before = text(site).splitlines()
    said = site.vault("edit", KEYS, EDITOR=str(script))
    assert "yaml-syntax" in said
    changed = [line.split(":")[0].strip() for line in text(site).splitlines() if line not in before]
    assert changed == ["k1", "serial", "mac"]
    seen = (site.folder / "seen").read_text().split()
    assert seen[0] == "600" and seen[1].startswith("/dev/shm/") and len(seen) == 4
    assert not Path(seen[1]).parent.exists()
    assert "nothing changed" in site.vault("edit", KEYS, EDITOR="true")
    assert "nothing was changed" in site.vault("edit", KEYS, EDITOR="false", code=64)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_edit_leaves_nothing_behind(site, number):
    script = site.folder / "wait.sh"
    script.write_text('#!/bin/sh\necho "$1" >where.new; mv where.new where; sleep 30\n')
    script.chmod(0o700)
    before = text(site)
    with subprocess.Popen(
        (VOSCTL, "vault", "edit", KEYS), cwd=site.folder, env={**site.env, "EDITOR": str(script)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  one thread
    ) as running:  # fmt: skip
        end = time.monotonic() + 30
        while not (site.folder / "where").exists() and time.monotonic() < end:
            time.sleep(0.05)
        where = Path((site.folder / "where").read_text().strip())
        assert where.exists()
        os.killpg(running.pid, number)
    assert running.returncode
    assert not where.parent.exists()
    assert text(site) == before


def test_git_shows_names_and_fingerprints(site):
    site.vault("set", KEYS, "keys.k2.value", "--value-file", "-", text="abcdEFGH12345678")
    shown = site.git("diff", VOSCTL_VAULT_PASSWORD_FILE="")
    lines = [line for line in shown.splitlines() if line[0] in "+-" and line[1] != line[0]]
    assert len([line for line in lines if "k2: {value: <secret " in line]) == 2
    assert "k1" not in "".join(lines) and "vos1." not in shown
    assert "+# vault: 2 encrypted values" in shown


def test_git_merges_by_value(site):
    site.git("checkout", "-qb", "other")
    site.vault("set", KEYS, "keys.k2.value", "--value-file", "-", text="abcdEFGH12345678")
    site.vault("rekey")
    site.commit("k2")
    site.git("checkout", "-q", "main")
    site.vault("set", KEYS, "keys.k1.value", "--value-file", "-", text="ZbcdEFGH12345678")
    site.commit("k1")
    site.git("merge", "-q", "-m", "both", "other")
    shown = site.vault("view", KEYS, shows=True)
    assert "k1: {value: ZbcdEFGH12345678}  # first" in shown and "k2: {value: abcdEFGH12345678}" in shown
    assert "no errors" in site.run(VOSCTL, "validate")


def test_git_marks_what_both_changed(site):
    site.git("checkout", "-qb", "other")
    site.vault("set", KEYS, "keys.k1.value", "--value-file", "-", text="abcdEFGH12345678")
    site.commit("theirs")
    site.git("checkout", "-q", "main")
    site.vault("set", KEYS, "keys.k1.value", "--value-file", "-", text="ZbcdEFGH12345678")
    site.commit("ours")
    said = site.git("merge", "other", code=1)
    assert "both branches changed keys.k1.value" in said and "CONFLICT" in said
    assert "<<<<<<< ours" in text(site)
    assert "vault-conflict" in site.vault("check", KEYS, code=1)
    kept = text(site).splitlines(keepends=True)
    theirs = kept.index("=======\n")
    (site.folder / KEYS).write_text(
        "".join(line for n, line in enumerate(kept) if n not in (theirs - 2, theirs, theirs + 1, theirs + 2))
    )
    assert "vault-altered" in site.run(VOSCTL, "validate", code=1)
    site.vault("encrypt", "--reseal", KEYS)
    assert "ZbcdEFGH12345678" in site.vault("view", KEYS, shows=True)


def test_people_come_and_go(site):
    public = site.vault("keygen", "-o", "alice").splitlines()[0]
    assert (site.folder / "alice").stat().st_mode & 0o777 == 0o600
    before = text(site)
    site.vault("recipients", "add", "alice", public)
    body = before[: before.index("# Enc")]
    assert text(site).startswith(body)
    mine = {"VOSCTL_VAULT_PASSWORD_FILE": "", "VOSCTL_VAULT_IDENTITY": "alice"}
    assert "no errors" in site.run(VOSCTL, "validate", **mine)
    site.password("second", "another four drawn words")
    site.vault(
        "recipients", "add", "oncall", "--passphrase", "--cost", "10", "--new-password-file", "second", **mine
    )
    assert "no errors" in site.run(VOSCTL, "validate", VOSCTL_VAULT_PASSWORD_FILE="second")
    site.vault("recipients", "remove", "alice")
    assert not text(site).startswith(body)
    said = site.run(VOSCTL, "validate", code=1, **mine)
    assert "vault-removed" in said and "alice" in said
    assert "removed on" in site.vault("recipients", "list")
    damaged = public[:-3] + ("x" if public[-3] != "x" else "y") + public[-2:]
    assert "damaged" in site.vault("recipients", "add", "bob", damaged, code=64)


def test_what_is_encrypted_where_plans_show_it_is_told(site):
    file = site.folder / "inventory/group_vars/all/main.yml"
    file.write_text(file.read_text() + "sysctl: {net.ipv4.tcp_keepalive_time: !secret '600'}\n")
    site.vault("encrypt", str(file))
    said = site.run(VOSCTL, "validate", "-v")
    assert "sysctl.net.ipv4.tcp_keepalive_time: warning: this value is encrypted here, but" in said
    assert said.count("[sealed-shown]") == 1


def test_plain_secrets_are_found(site):
    assert site.vault("check", KEYS, "inventory/hosts.yml") == ""
    plain = site.folder / "inventory/host_vars/edge-a.yml"
    plain.parent.mkdir()
    plain.write_text('keys:\n  k4: {value: "Jw5pVe81sHdYq3Ct"}\n')
    assert "host_vars/edge-a.yml:2:15 keys.k4.value" in site.vault("check", str(plain), code=1)
    assert "others of this site are encrypted [plain-secret]" in site.run(VOSCTL, "validate", code=1)
    (site.folder / "id_rsa").write_text("-----BEGIN OPENSSH " + "PRIVATE KEY-----\n")
    site.vault("keygen", "-o", "identity")
    said = site.vault("check", "id_rsa", "identity", code=1)
    assert said.count("[private-key]") == 2


def test_ansible_files_are_brought_over(site):
    site.password("ansible", "ansible pass one")
    source = Path(__file__).parents[1] / "vault/ansible/whole-1.1.yml"
    file = site.folder / "inventory/group_vars/all/old.yml"
    file.write_text(source.read_text())
    assert "vosctl vault import" in site.run(VOSCTL, "validate", code=1)
    site.vault("import", "--ansible-password-file", "ansible", str(file))
    assert "keys:\n  ab: {value: u7Xk" in site.vault("view", str(file), shows=True)

"""How runs are shown and told, on directories as nodes: lines, events, plug-ins, a webhook, a terminal, status, drift."""

from __future__ import annotations

import http.server
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from vosctl.push.event import EVENTS

REPOSITORY = Path(__file__).parents[2]
SCHEMA = json.loads((REPOSITORY / "schemas/events.json").read_text())
NODES = ("edge-a", "edge-b", "edge-10")
FIREWALL = {"enabled": False}
PLUG_IN = """
import pathlib, time

class Teller:
    def __init__(self, where):
        self.where = pathlib.Path(where)
    def handle(self, event):
        with self.where.open("a") as stream:
            stream.write(event.name + "\\n")

class Broken:
    def handle(self, event):
        raise ZeroDivisionError("token=abc")

class Stuck:
    def handle(self, event):
        time.sleep(3600)
"""


class Site:
    """A site of three directories, and vosctl run on it as a program of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "inventory/group_vars").mkdir(parents=True)
        hosts = {n: {"connection": "local", "root": str(folder / n)} for n in NODES}
        self.inventory({"all": {"hosts": hosts}})
        self.says("one")
        (folder / "site.yml").write_text("- hosts: all\n")
        plug = folder / "plug"
        (plug / "chatter").mkdir(parents=True)
        (plug / "chatter/__init__.py").write_text(PLUG_IN)
        (plug / "chatter-1.0.dist-info").mkdir()
        (plug / "chatter-1.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: chatter\nVersion: 1.0\n"
        )
        (plug / "chatter-1.0.dist-info/entry_points.txt").write_text(
            "[vosctl.processors]\nteller = chatter:Teller\n"
        )
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{REPOSITORY}:{plug}",
        }  # fmt: skip

    def inventory(self, words: object) -> None:
        (self.folder / "inventory/hosts.yml").write_text(json.dumps(words))

    def says(self, word: str) -> None:
        variables = {
            "relay": {"enabled": False},
            "firewall": FIREWALL,
            "files": {"/etc/probe.txt": {"content": word}},
        }
        (self.folder / "inventory/group_vars/all.yml").write_text(json.dumps(variables))

    def __call__(self, *words: str, code: int = 0, **more: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", "from vosctl.cli.main import main; main()", *words],
            cwd=self.folder, env={**self.environment, **more}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def events_in(text):
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        jsonschema.validate(event, SCHEMA)
    return found


def test_the_schema_names_every_event():
    named = {each["properties"]["event"]["const"] for each in SCHEMA["anyOf"]}
    assert named == {event.name for event in EVENTS}


def test_a_pipe_gets_a_line_for_each_node(site):
    out, err = site("apply", "site.yml", "--serial", "1,2")
    assert "RECAP" in out
    assert re.search(r"^\[1/3\] edge-a: changed, 2 changes, \d+\.\d s$", err, re.MULTILINE), err
    assert "batch 2/2: edge-b, edge-10" in err
    assert "\x1b" not in out + err
    _, quiet = site("apply", "site.yml", "--progress", "off")
    assert quiet == ""


def test_events_are_alone_on_standard_output(site):
    out, _ = site("apply", "site.yml", "--json-events")
    events = events_in(out)
    assert [events[0]["event"], events[-1]["event"]] == ["run_started", "recap"]
    assert events[0]["nodes"] == list(NODES)
    assert len({event["run"] for event in events}) == 1
    assert {e["node"] for e in events if e["event"] == "confirmed"} == set(NODES)
    assert events[-1]["counts"] == {"changed": 3}
    assert "/etc/probe.txt" in [c["name"] for c in events[-1]["nodes"]["edge-a"]["changes"]]
    assert (events[-1]["exit_code"], events[-1]["interrupted"]) == (0, False)
    for words in (("plan",), ("drift",), ("apply", "-C"), ("rollback",)):
        assert events_in(site(*words, "site.yml", "--json-events")[0])[-1]["event"] == "recap"


def test_a_gate_that_fails_is_told_and_the_batch_goes_back(site):
    (site.folder / "site.yml").write_text(
        "- hosts: all\n  serial: 2\n  health:\n    - {check: command, run: 'false', within: 5}\n"
    )
    events = events_in(site("apply", "site.yml", "--json-events", code=6)[0])
    told = [event["event"] for event in events]
    assert told.count("gate") == 2
    assert told.count("rolled_back") == 2
    assert told.index("going_back") < told.index("rolled_back") < told.index("stopped")
    assert next(e for e in events if e["event"] == "stopped")["left"] == ["edge-10"]
    assert events[-1]["counts"] == {"rolled_back": 2, "untouched": 1}


def test_plug_ins_hear_everything_and_broken_ones_change_nothing(site):
    heard = site.folder / "heard"
    began = time.monotonic()
    _, err = site(
        "apply", "site.yml", "--processor", f"teller={heard}", "--processor", "chatter:Broken",
        "--processor", "chatter:Stuck", "--processor", "log=/nonexistent/log", code=0,
    )  # fmt: skip
    assert time.monotonic() - began < 40
    names = heard.read_text().split()
    assert (names[0], names[-1], names.count("host_finished")) == ("run_started", "recap", 3)
    assert "chatter:Broken failed at run_started: ZeroDivisionError; the run goes on" in err
    assert "token=abc" not in err
    assert "chatter:Stuck still works after" in err
    assert "/nonexistent/log: No such file or directory" in err
    assert (site.folder / "edge-a/etc/probe.txt").read_text() == "one"


def test_a_processor_that_there_is_none_of_is_refused_before_anything(site):
    for word in ("nobody", "chatter:Nobody", "webhook=ftp://x", "syslog=nowhere"):
        _, err = site("apply", "site.yml", "--processor", word, code=64)
        assert f"--processor {word.partition('=')[0]}" in err
    assert "webhook, log, syslog, teller" in site("apply", "site.yml", "--processor", "nobody", code=64)[1]
    assert not (site.folder / "edge-a").exists()


def test_a_log_has_the_events_of_all_runs(site):
    log = site.folder / "vosctl.jsonl"
    for _ in range(2):
        site("apply", "site.yml", VOSCTL_PROCESSOR=f"log={log}")
    assert [e["event"] for e in events_in(log.read_text())].count("recap") == 2


class Chat(http.server.ThreadingHTTPServer):
    """A chat that keeps what it hears; ``answer`` is its status code, ``wait`` how slow it is."""

    def __init__(self, answer=200, wait=0.0):
        self.heard, self.answer, self.wait = [], answer, wait
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook/SecretToken123"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        time.sleep(self.server.wait)
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *what):
        pass


def test_a_chat_hears_the_start_failures_and_the_end(site):
    (site.folder / "edge-b").write_text("in the way")
    with Chat() as chat:
        (site.folder / "hook").write_text(chat.url + "\n")
        out, err = site("apply", "site.yml", "--processor", "webhook=@hook", code=2)
    told = [message["event"]["event"] for message in chat.heard]
    assert told == ["run_started", "host_finished", "recap"]
    assert chat.heard[1]["text"].startswith("vosctl edge-b: failed")
    assert chat.heard[2]["text"].startswith("vosctl 2 changed, 1 failed in ")
    assert "SecretToken" not in out + err + json.dumps(chat.heard)


@pytest.mark.parametrize(("answer", "wait", "said"), [(500, 0, "the URL answered 500"), (200, 30, "")])
def test_a_chat_that_is_ill_changes_nothing(site, answer, wait, said):
    began = time.monotonic()
    with Chat(answer, wait) as chat:
        _, err = site("apply", "site.yml", "--processor", f"webhook={chat.url}")
        assert time.monotonic() - began < 25
        chat.wait = 0
    assert "processor webhook" in err
    assert said in err
    assert "SecretToken" not in err


def on_terminal(site, *words, until=None, **more):
    """Run vosctl on a terminal of 80 columns; return its exit code and what the terminal got."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.folder)
        environment = {**site.environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **more}
        program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from vosctl.cli.main import main; main()"
        os.execve(sys.executable, [sys.executable, "-c", program, *words], environment)
    shown, sent = b"", False
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
            if until and not sent and until in shown:
                os.kill(pid, signal.SIGINT)
                sent = True
    except OSError:
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, shown.decode()


def test_a_terminal_gets_a_live_display_that_is_gone_at_the_end(site):
    code, shown = on_terminal(site, "apply", "site.yml")
    assert code == 0
    assert "0/3 done" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    assert "[1/3]" not in shown


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_dumb_terminal_and_ci_get_plain_lines(site, more):
    code, shown = on_terminal(site, "apply", "site.yml", **more)
    assert code == 0
    assert "[3/3]" in shown
    assert "\x1b[?25l" not in shown


def test_no_color_leaves_the_display_without_colours(site):
    code, shown = on_terminal(site, "apply", "site.yml", NO_COLOR="1")
    assert code == 0
    assert "0/3 done" in shown
    assert not re.search("\x1b\\[[0-9;]*3[0-7]m", shown)


def test_an_interrupt_leaves_a_clean_terminal_and_a_last_event(site):
    (site.folder / "site.yml").write_text("- hosts: all\n  serial: 1\n  pause: 60\n")
    log = site.folder / "log"
    code, shown = on_terminal(site, "apply", "site.yml", "--processor", f"log={log}", until=b"pause: 60")
    assert code == 130
    assert shown.rstrip().endswith("vosctl: interrupted")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")
    assert "Traceback" not in shown
    last = events_in(log.read_text())[-1]
    assert (last["event"], last["interrupted"], last["exit_code"]) == ("recap", True, 130)


def test_a_pipe_never_waits_for_a_display(site):
    program = "import sys; from vosctl.cli.main import run; run(sys.argv[1:]); assert 'rich.live' not in sys.modules"
    argv = [sys.executable, "-c", program, "apply", "site.yml"]
    done = subprocess.run(
        argv, cwd=site.folder, env=site.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_status_is_a_table_sorted_by_name_with_what_needs_a_look(site):
    site("apply", "site.yml", "-l", "edge-a,edge-b")
    (site.folder / "edge-b/etc/probe.txt").write_text("by hand")
    out, _ = site("status", "site.yml")
    rows = [line.split()[:2] for line in out.splitlines()[1:4]]
    assert rows == [["edge-10", "new"], ["edge-a", "ok"], ["edge-b", "drift"]]
    assert "edge-b: moved: file /etc/probe.txt" in out
    assert "3 nodes: 1 drift, 1 new, 1 ok · 0 calls" in out
    site("status", "site.yml", "--detailed-exitcode", code=3)
    found = json.loads(site("status", "site.yml", "--json")[0])
    assert found["edge-b"]["report"]["drift"] == ["file /etc/probe.txt"]
    assert (found["edge-a"]["state"], found["edge-a"]["alarms"]) == ("ok", [])
    assert "1 moved" not in site("status", "site.yml", "--no-drift")[0]


def test_a_node_that_cannot_be_reached_keeps_its_row(site):
    hosts = {"edge-a": {"connection": "local", "root": str(site.folder / "edge-a")}, "edge-z": {"host": "127.0.0.1", "port": 1}}  # fmt: skip
    site.inventory({"all": {"hosts": hosts}})
    out, _ = site("status", "site.yml", "--connect-timeout", "1", code=4)
    assert re.search(r"^edge-z +unreachable +-", out, re.MULTILINE)
    assert "edge-z: " in out
    assert json.loads(site("status", "site.yml", "--json", code=4)[0])["edge-z"]["state"] == "unreachable"


def test_drift_says_since_when_at_the_latest(site):
    site("apply", "site.yml")
    applied = json.loads(site("status", "site.yml", "--no-drift", "--json")[0])["edge-a"]["report"]["applied"]
    probe = site.folder / "edge-a/etc/probe.txt"
    probe.write_text("by hand")

    def moved():
        found = json.loads(site("drift", "site.yml", "--json")[0])["edge-a"]["report"]["moved"]
        return found.get("file /etc/probe.txt")

    first = moved()
    assert (first["right"], first["by"]) == (applied["time"], "apply")
    assert first["mtime"] == int(probe.stat().st_mtime)
    time.sleep(1.1)
    assert moved() == first, "a later check knows when the first one saw it"
    probe.write_text("one")
    assert moved() is None
    probe.write_text("again")
    again = moved()
    assert again["by"] == "check"
    assert again["right"] >= first["seen"] + 1
    out, _ = site("drift", "site.yml")
    assert re.search(r"file /etc/probe.txt: right at 20\S+ \S+Z \(a check found it right\), moved by 20", out)
    journal = [
        json.loads(line)
        for line in (site.folder / "edge-a/var/lib/vosctl/journal.jsonl").read_text().splitlines()
    ]
    assert [entry["count"] for entry in journal if entry["event"] == "drift"] == [1, 0, 1]


def test_a_file_that_git_does_not_know_makes_the_revision_dirty(site):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=site.folder, check=True, capture_output=True)  # fmt: skip

    def revision():
        return events_in(site("plan", "site.yml", "--json-events")[0])[0]["revision"]

    (site.folder / ".gitignore").write_text("/plug\n/edge-*\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a site")
    assert re.fullmatch("[0-9a-f]{12}", revision())
    (site.folder / "inventory/host_vars").mkdir()
    (site.folder / "inventory/host_vars/edge-a.yml").write_text("{}")
    assert revision().endswith("-dirty")

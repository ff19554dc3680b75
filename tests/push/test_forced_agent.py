"""What a node may answer instead of the agent, over real SSH: noise, silence, floods, broken frames."""

from __future__ import annotations

import pytest
from push_samples import connection, desired_of, options, site_of, sshd

from vosctl.errors import HostError, LockedError, UnreachableError
from vosctl.push import api, channel
from vosctl.push.result import Status

pytestmark = pytest.mark.netns
PORT = 2222

PRELUDE = """
import json, os, struct, sys, time, zlib
def say(data):
    while data:
        data = data[os.write(1, data):]
def frame(**fields):
    body = zlib.compress(json.dumps(fields).encode())
    return struct.pack(">I", len(body)) + body
def take():
    head = sys.stdin.buffer.read(4)
    return json.loads(zlib.decompress(sys.stdin.buffer.read(int.from_bytes(head, "big"))))
HELLO = b"HAVE\\n" + frame(op="hello", version="1")
FACTS = frame(op="facts", facts={"hostname": "forced"})
"""


@pytest.fixture(scope="module")
def forced(fleet, tmp_path_factory):
    """A second sshd on edge-a that runs /root/forced.py whatever it is asked to run."""
    config = "/etc/ssh/fleet/forced_config"
    fleet.exec(
        "edge-a",
        [
            "sh",
            "-c",
            f"sed 's/^Port .*/Port {PORT}/; s/sshd.pid/forced.pid/' /etc/ssh/fleet/sshd_config > {config}",
        ],
    )
    fleet.exec("edge-a", ["sh", "-c", f"echo 'ForceCommand python3 /root/forced.py' >> {config}"])
    sshd(fleet, "edge-a", config, PORT)
    known = tmp_path_factory.mktemp("forced") / "known_hosts"
    key = next(line for line in fleet.known_hosts.read_text().splitlines() if "10.231.0.2" in line).split()[
        1:3
    ]
    known.write_text(f"[10.231.0.2]:{PORT} {' '.join(key)}\n")
    return known


@pytest.fixture
def answer(fleet, there, forced):
    """Return a function that makes the node run a script and asks it for facts."""

    def run(script: str, function=api.facts_site, *states, **chosen):
        (fleet.root("edge-a") / "root/forced.py").write_text(PRELUDE + script)
        made = connection(
            "10.231.0.2", port=PORT, user="root", private_key=fleet.private_key, known_hosts=forced
        )
        return there(function, site_of(edge_a=made), *states, options=options(**chosen))["edge-a"]

    return run


def failed(result, kind: type[HostError], *words: str) -> None:
    assert type(result.error) is kind or isinstance(result.error, kind), repr(result.error)
    for word in words:
        assert word in str(result.error)


def test_the_prelude_is_a_working_agent(answer):
    assert answer("say(HELLO); take(); say(FACTS)").report == {"hostname": "forced"}


def test_noise_of_login_files_is_skipped(answer):
    result = answer("say(b'Welcome!\\r\\n\\xff\\xfe\\n' * 1000 + HELLO); take(); say(FACTS)")
    assert result.report == {"hostname": "forced"}


def test_endless_noise_ends(answer):
    failed(answer("while True: say(b'y\\n' * 1000)"), HostError, "prints without end")
    failed(answer("while True: say(b'y' * 1000)"), HostError, "no line end")


def test_stderr_flood_is_drained(answer):
    flood = "[os.write(2, b'warning ' * 8000) for _ in range(100)]; "
    script = f"{flood} say(HELLO); take(); {flood} say(FACTS)"
    assert answer(script).status is Status.OK


def test_end_of_stderr_is_told(answer):
    failed(answer("os.write(2, b'x' * 100000 + b'\\nTraceback\\nSyntaxError: broken\\n'); sys.exit(1)"), HostError,
           "exit status 1", "SyntaxError: broken")  # fmt: skip


def test_python_that_is_not_there(answer, fleet):
    result = answer("os.write(2, b'sh: 1: exec: python3: not found\\n'); sys.exit(127)")
    failed(result, HostError, "python3 is not installed")
    assert result.status is Status.FAILED


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("say(HELLO); take(); say(FACTS[:10])", "went away during facts: the stream ended"),
        ("say(HELLO); take(); os.write(2, b'MemoryError'); os.kill(os.getpid(), 9)", "it said: MemoryError"),
        ("say(HELLO); take()", "went away"),
        ("say(HELLO); take(); say(struct.pack('>I', 2**31))", "too long"),
        ("say(HELLO); take(); say(struct.pack('>I', 5) + b'12345')", "not a frame"),
        ("say(HELLO); take(); say(frame(nop=1))", "without an op"),
        ("b = zlib.compress(b'[1]'); say(HELLO); take(); say(struct.pack('>I', len(b)) + b)", "without an op"),
        ("b = zlib.compress(bytes(2_000_000)); say(HELLO); take(); say(struct.pack('>I', len(b)) + b)", "too much"),
        ("say(HELLO); take(); say(frame(op='observed'))", "facts expected"),
        ("say(HELLO); take(); time.sleep(60)", "no answer within 1 s"),
        ("say(b'HAVE\\n'); time.sleep(60)", "did not start: no answer within 1 s"),
        ("time.sleep(60)", "did not start: no answer within 1 s"),
    ],
)  # fmt: skip
def test_agents_that_break_off(answer, monkeypatch, script, words):
    monkeypatch.setattr(channel, "MAX_PLAIN", 1_000_000)
    result = answer(script, timeout=1.0 if "sleep" in script else 20.0)
    failed(result, UnreachableError, words)


def test_what_comes_before_hello_must_be_hello(answer):
    failed(answer("say(b'HAVE\\n' + frame(op='status'))"), HostError)


def test_error_frames_become_errors(answer):
    error = "frame(op='error', kind={!r}, error='disk full', hint='make room')"
    result = answer(f"say(HELLO); take(); say({error.format('io')})")
    failed(result, HostError, "disk full", "make room")
    assert result.status is Status.FAILED
    failed(answer(f"say(HELLO); take(); say({error.format('locked')})"), LockedError, "disk full")
    failed(answer(f"say(b'HAVE\\n'+{error.format('denied')})"), HostError, "disk full")


def test_observation_that_makes_no_sense(answer):
    script = "say(HELLO); take(); say(frame(op='observed', observed={'facts': 1}))"
    failed(answer(script, api.plan_site, {"edge-a": desired_of()}), HostError, "makes no sense")
    script = "say(HELLO); take(); say(frame(op='observed'))"
    failed(answer(script, api.plan_site, {"edge-a": desired_of()}), HostError, "makes no sense")


def test_agent_that_reads_nothing_while_it_is_sent_a_lot(answer):
    script = "say(b'NEED\\n'); [say(b'x' * 60000) for _ in range(2000)]; time.sleep(60)"
    result = answer(script, timeout=5.0)
    assert isinstance(result.error, HostError)


def test_login_shell_that_is_none(answer):
    result = answer("say(b'This account is currently not available.\\n'); sys.exit(1)")
    failed(result, HostError, "exit status 1", "This account is currently not available")

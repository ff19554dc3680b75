"""Files that must pass a command on the node before they are put in place, and what reads them afterwards."""

from __future__ import annotations

import pytest
from agent_client import Machine, Target, Wanted, tree

PATH = "/etc/voice/rules.conf"
GREP = "grep -q ^ok %s"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (GREP, "exit code 1: it said nothing"),
        ("sh -n %s", "Syntax error"),
        ("/no/such/program %s", "not found"),
        ("sh -c 'head -1 $0 >&2; exit 3' %s", "exit code 3: not ok ("),
    ],
)
def test_content_that_does_not_pass_changes_nothing(folder: Target, command: str, said: str) -> None:
    folder.settle(Wanted().file("/etc/other", b"1\n"))
    before = tree(folder.root)
    wanted = (
        Wanted().file("/etc/other", b"2\n").file(PATH, b"not ok (\n", validate=command, origin="all.yml:7:3")
    )
    answer = folder.apply(wanted)
    assert (answer["op"], answer["step"], answer["item"]) == ("error", "validate", PATH), answer
    assert f"{PATH} (all.yml:7:3) does not pass '{command}': " in answer["error"]
    assert said in answer["error"]
    assert tree(folder.root) == before
    assert not folder.path("/var/lib/vosctl/validate").exists()


def test_content_that_passes_is_put_in_place(folder: Target) -> None:
    see = "sh -c 'test $(basename $0) = rules.conf && test $(stat -c %%a $0) = 640 && grep -q ^ok $0' %s"
    wanted = Wanted().file(PATH, b"ok\n", mode=0o640, validate=see.replace("%%a", "%a"))
    assert folder.settle(wanted)["changed"] == [f"file {PATH}"]
    assert folder.path(PATH).read_bytes() == b"ok\n"
    assert folder.settle(wanted)["changed"] == []


def test_what_a_command_says_of_a_secret_file_stays_on_the_node(folder: Target) -> None:
    answer = folder.apply(Wanted().file(PATH, b"hunter2\n", secret=True, validate="sh -c 'cat $0; false' %s"))
    assert "hunter2" not in str(answer)
    assert "not shown" in answer["error"]


def test_a_command_sees_an_old_file_until_all_pass(nft: Machine) -> None:
    nft.settle(Wanted().file(PATH, b"old\n"))
    wanted = Wanted().file(PATH, b"new\n", validate=f"sh -c 'grep -q new $0 && grep -q old {PATH}' %s")
    assert nft.settle(wanted)["changed"] == [f"file {PATH}"]


SCRIPT = b"""#!/bin/sh
echo "$1" >> /run/vosctl-test-reader.log
exit 0
"""


def test_one_restart_for_many_files_and_none_without_a_change(nft: Machine) -> None:
    nft.path("/etc/init.d").mkdir(parents=True, exist_ok=True)
    script = nft.path("/etc/init.d/reader")
    script.write_bytes(SCRIPT)
    script.chmod(0o755)
    log = nft.path("/run/vosctl-test-reader.log")
    log.unlink(missing_ok=True)

    def sample(text: bytes) -> Wanted:
        found = (
            Wanted().file("/etc/voice/a", text, reload="reader").file("/etc/voice/b", text, reload="reader")
        )
        return found.file("/etc/voice/c", b"same\n", restart="reader")

    try:
        first = nft.settle(sample(b"1\n"))
        assert first["changed"][3:] == ["service reader restart"]
        assert nft.settle(sample(b"1\n"))["changed"] == []
        log.unlink()
        assert nft.settle(sample(b"2\n"))["changed"][2:] == ["service reader reload"]
        assert [line for line in log.read_text().split() if line != "status"] == ["reload"]
        log.unlink()
        # A file that goes is a change for whoever read it.
        assert nft.settle(Wanted())["changed"][3:] == ["service reader restart"]
    finally:
        script.unlink()

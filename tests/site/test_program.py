from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from tree_text import write

from vosctl.site.inventory import program
from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.inventory.process import run_bounded
from vosctl.site.problems import Problems
from vosctl.site.tree import Scalar, plain


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def executable(name: str, source: str) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"#!{sys.executable} -S\n{source}")
    path.chmod(0o755)
    return path


def load(path: Path) -> tuple[Inventory, Problems]:
    problems = Problems()
    return load_inventory((path,), problems), problems


LISTING = {
    "edges": {
        "hosts": ["edge-a", "edge-b"],
        "vars": {"ansible_user": "root", "price": 0.0125},
        "children": ["dual"],
    },
    "dual": ["edge-c"],
    "_meta": {
        "hostvars": {"edge-a": {"ansible_host": "192.0.2.1", "ansible_port": 22}, "edge-d": {"x": True}}
    },
}


def test_a_program_is_run_and_read(tmp_path: Path) -> None:
    source = f"import sys, json\nassert sys.argv[1:] == ['--list']\nprint(json.dumps({LISTING!r}))"
    write(tmp_path, {"group_vars/edges.yml": "user: admin"})
    inventory, problems = load(executable("inv.py", source))
    assert not problems.found
    assert list(inventory.hosts) == ["edge-d", "edge-a", "edge-b", "edge-c"]
    assert inventory.groups["edges"].hosts == ("edge-a", "edge-b", "edge-c")
    assert plain(inventory.hosts["edge-a"].sources[0].tree) == {"host": "192.0.2.1", "port": 22}
    inline, file = inventory.groups["edges"].sources
    assert (plain(inline.tree), plain(file.tree)) == ({"user": "root", "price": "0.0125"}, {"user": "admin"})
    price = inline.tree.items["price"]
    assert isinstance(price, Scalar)
    assert (price.number, str(price.mark)) == (True, "inv.py --list:1:85")
    assert inventory.documents == ()


def test_without_meta_each_host_is_asked_for() -> None:
    source = """
import sys, json
with open("asked", "a") as log:
    print(*sys.argv[1:], file=log)
if sys.argv[1] == "--list":
    print(json.dumps({"g": {"hosts": ["a", "b"]}}))
else:
    print(json.dumps({"me": sys.argv[2]}))
"""
    inventory, problems = load(executable("inv", source))
    assert not problems.found
    assert [plain(host.sources[0].tree) for host in inventory.hosts.values()] == [{"me": "a"}, {"me": "b"}]
    assert Path("asked").read_text().splitlines() == ["--list", "--host a", "--host b"]


def test_a_program_in_a_folder_is_run(tmp_path: Path) -> None:
    executable("inv/dynamic", 'print(\'{"g": ["a"], "_meta": {"hostvars": {}}}\')')
    write(tmp_path, {"inv/hosts.yml": "g: {hosts: {b: {}}}"})
    inventory, problems = load(Path("inv"))
    assert not problems.found
    assert inventory.groups["g"].hosts == ("a", "b")


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "import sys; sys.exit('no route to the database')",
            "--list ended with code 1",
            "no route to the database",
        ),
        ("print('nonsense')", "prints something that is no JSON", "--list"),
        ("print('[' * 100000)", "prints something that is no JSON", "--list"),
        ("print('[1]')", "prints JSON that is no object", "--list"),
        (
            'import sys; sys.stdout.buffer.write(b\'{"a": "\\xff"}\')',
            "prints something that is no JSON",
            "--list",
        ),
        ("print('{\"g\": 3}')", "a group is a list of hosts", "--list"),
        ('print(\'{"g": {"hosts": [1]}}\')', "must be a list of names", "--list"),
        ('print(\'{"g": ["a b"]}\')', "no host name", "range"),
        ("print('{\"no group!\": []}')", "is no group name", "letters"),
        ('print(\'{"_meta": {"hostvars": []}}\')', "must be an object", "--list"),
        ("print('{\"g\": {\"vars\": ' + '{\"a\":' * 300 + '1' + '}' * 302)", "nested more than", "flatten"),
        ('print(\'{"g": {"vars": [1]}}\')', "variables are a mapping", "one"),
    ],
)
def test_what_a_program_may_do_wrong(source: str, message: str, hint: str) -> None:
    _, problems = load(executable("inv", source))
    (problem,) = problems.errors
    assert message in problem.message
    assert hint in problem.hint
    assert problem.mark.file in ("inv", "inv --list")


def test_places_in_the_answer_are_those_of_its_text() -> None:
    answer = '{\n "g": {\n  "hosts": ["a b"],\n  "children": "x"},\n "_meta": {"hostvars": {"c": {"x": null, "y": 1}}}}'
    inventory, problems = load(executable("inv", f"print({answer!r})"))
    assert [str(problem.mark) for problem in problems.errors] == ["inv --list:3:13", "inv --list:4:15"]
    assert str(inventory.hosts["c"].sources[0].tree.key_marks["y"]) == "inv --list:5:42"


def test_an_answer_that_only_json_can_read_is_read() -> None:
    values = {"smile": "\U0001f600", "big": 10**30, "part": float("inf")}
    listing = {"g": {"hosts": ["a"], "vars": values}, "_meta": {"hostvars": {}}}
    inventory, problems = load(executable("inv", f"print({json.dumps(listing)!r})"))
    assert not problems.found
    told = plain(inventory.groups["g"].sources[0].tree)
    assert told == {"smile": "\U0001f600", "big": "1" + "0" * 30, "part": "Infinity"}


def test_a_program_without_an_interpreter_is_a_problem() -> None:
    path = executable("inv", "")
    path.write_text("#!/nonexistent/python\n")
    _, problems = load(path)
    assert "cannot be run" in problems.errors[0].message


def test_a_program_that_hangs_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "TIMEOUT", 1.0)
    source = """
import os, time
child = os.fork()
if child:
    with open("child", "w") as file:
        file.write(str(child))
time.sleep(300)
"""
    _, problems = load(executable("inv", source))
    assert "did not answer --list within 1 s" in problems.errors[0].message
    child = int(Path("child").read_text())
    assert wait_for_end(child)


def test_a_program_that_floods_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MAX_BYTES", 100_000)
    _, problems = load(executable("inv", "while True: print('x' * 1000)"))
    assert "prints more than" in problems.errors[0].message


def wait_for_end(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_run_bounded_gives_code_output_and_complaint() -> None:
    source = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert run_bounded([sys.executable, "-S", "-c", source], seconds=60, most=100) == (3, b"out\n", b"err\n")


def test_run_bounded_reads_nothing_from_the_terminal() -> None:
    source = "import sys, json; print(json.dumps(sys.stdin.read()))"
    code, output, _ = run_bounded([sys.executable, "-S", "-c", source], seconds=60, most=100)
    assert (code, json.loads(output)) == (0, "")


def test_run_bounded_keeps_the_end_of_a_long_complaint() -> None:
    source = "import sys; sys.stderr.write('x' * 300000 + 'end')"
    _, _, complaint = run_bounded([sys.executable, "-S", "-c", source], seconds=60, most=100)
    assert complaint.endswith(b"xend")
    assert len(complaint) <= 65536

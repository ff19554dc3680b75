"""The house keeps its own rules: loud skips, figures with commands, links that lead somewhere, small modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from bench import __main__ as bench
from vosctl import resources

TOP = Path(__file__).parents[1]

SKIPS = {
    "in the test": "import pytest\ndef test_it(): pytest.skip('no moon here')\n",
    "at import": "import pytest\npytest.skip('no moon here', allow_module_level=True)\n",
    "by marker": "import pytest\n@pytest.mark.requires('no-moon-here')\ndef test_it(): pass\n",
}


def run_pytest(directory: Path, source: str, *, strict: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(TOP / "tests/conftest.py", directory)
    (directory / "test_it.py").write_text(source)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n    requires(*programs): programs\n")
    argv = ("env", f"VOSCTL_REQUIRE_REAL={strict}", sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_loud_and_fails_where_reality_is_required(tmp_path, source):
    lenient = run_pytest(tmp_path, source, strict="")
    assert lenient.returncode in {0, 5}
    assert "NOT TESTED HERE: 1 tests" in lenient.stdout
    assert "moon" in lenient.stdout.partition("NOT TESTED HERE")[2]
    required = run_pytest(tmp_path, source, strict="1")
    assert required.returncode in {1, 2}
    assert "skipped, but VOSCTL_REQUIRE_REAL is set" in required.stdout


def run_script(directory: Path, name: str, *arguments: str) -> tuple[int, str]:
    argv = (sys.executable, str(TOP / "scripts" / name), *arguments)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(
        argv, cwd=directory, env=own, capture_output=True, text=True, check=False, timeout=60
    )
    return result.returncode, result.stdout + result.stderr


LATE = """
import os, pathlib, pytest
def test_it():
    seen = pathlib.Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not (first and "PYTEST_XDIST_WORKER" in os.environ), "too late beside others"
@pytest.mark.alone
def test_pace(): assert "PYTEST_XDIST_WORKER" not in os.environ
"""


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (LATE, 0, "PASSED ONLY ALONE, have a look: test_it.py"),
        ("def test_it(): assert False\n", 1, "once more, with nothing beside them: test_it.py"),
        ("import nothing_of_that_name\n", 2, ""),
        ("def test_it(): pass\n", 0, ""),
    ],
)
def test_what_fails_beside_others_is_run_once_more_alone(tmp_path, source, code, words):
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone: nothing beside it\n")
    returned, said = run_script(tmp_path, "tests.py")
    assert returned == code, said
    assert words in said
    assert ("PASSED ONLY ALONE" in said) == ("PASSED ONLY" in words)


def test_many_failures_are_never_chance(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number in range(6):
        (tmp_path / f"test_{number}.py").write_text("def test_it(): assert False\n")
    returned, said = run_script(tmp_path, "tests.py")
    assert returned == 1
    assert "once more" not in said


@pytest.mark.requires("git")
def test_long_modules_unfinished_words_and_unreadable_schemas_are_found(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "long.py").write_text("x = 1\n" * 401)
    (tmp_path / "later.c").write_text("int x; /* TO" + "DO */\n")
    (tmp_path / "schemas/a.json").write_text(
        '{"$schema": "http://json-schema.org/draft-07/schema#",\n "oneOf": []}'
    )
    (tmp_path / "schemas/b.json").write_text('{"$schema": "https://json-schema.org/draft/2020-12/schema"}')
    subprocess.run(("git", "init", "-q"), cwd=tmp_path, check=True)
    subprocess.run(("git", "add", "."), cwd=tmp_path, check=True)
    code, said = run_script(tmp_path, "house.py")
    assert code == 1
    for words in (
        "later.c:1: unfinished",
        "long.py:401: 401 lines",
        "schemas/a.json:2: oneOf",
        "schemas/b.json:1:",
    ):
        assert words in said
    assert len(said.splitlines()) == 4


def test_pages_are_built_and_broken_links_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# A page\n\n[b](b.md#one-two) [gone](gone.md)\n\n[c](b.md#three)\n")
    (tmp_path / "docs/b.md").write_text("# B\n\n## One, two\n\n| x |\n|---|\n| 1 |\n\n`speed` is 7.\n")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/results.json").write_text('[{"name": "speed", "command": "make bench ONLY=speed"}]')
    code, said = run_script(tmp_path, "docs.py", "out")
    assert code == 1
    assert said.splitlines() == [
        "docs/a.md:3: gone.md leads nowhere",
        "docs/a.md:5: b.md has no heading #three",
        "docs/b.md:1: quotes speed without its command (make bench ONLY=speed)",
        "2 pages in out, 3 problems",
    ]
    assert 'href="b.html#one-two"' in (tmp_path / "out/docs/a.html").read_text()
    page = (tmp_path / "out/docs/b.html").read_text()
    assert '<h2 id="one-two">' in page
    assert "<table>" in page


def made(run) -> ModuleType:
    module = ModuleType("made")
    module.NAMES = ("speed",)
    module.run = run
    return module


def test_a_bench_gets_its_ratio_and_command_and_keeps_the_others(tmp_path):
    path = tmp_path / "results.json"
    figure = {"name": "speed", "figure": 2.0, "unit": "s", "peer": "other", "peer_figure": 8.0}
    (result,) = bench.measure(made(lambda name: dict(figure)), "speed")
    assert (result["ratio"], result["command"]) == (0.25, "make bench ONLY=speed")
    bench.merge([result], path)
    bench.merge([result | {"name": "size"}, result | {"figure": 3.0}], path)
    merged = json.loads(path.read_text())
    assert [(entry["name"], entry["figure"]) for entry in merged] == [("size", 2.0), ("speed", 3.0)]
    with pytest.raises(ValueError, match="has no unit"):
        bench.measure(
            made(lambda name: {"name": "speed", "figure": 1, "peer": None, "peer_figure": None}), "speed"
        )


def test_every_bench_has_a_name_of_its_own():
    names = [name for module in bench.modules() for name in module.NAMES]
    assert "compile-1000x20" in names
    assert len(set(names)) == len(names)
    assert bench.main(["no-such-bench"]) == 1


def test_data_files_are_found_in_a_checkout():
    assert (resources.schemas() / "vars.json").is_file()
    assert (resources.templates() / "relay").is_dir()
    assert (resources.example() / "playbooks/site.yml").is_file()


def test_the_wheels_list_of_data_matches_what_is_looked_for():
    text = (TOP / "pyproject.toml").read_text()
    for name in ("schemas", "templates", "inventory", "playbooks"):
        assert f'"{name}" = "vosctl/_data/{name}"' in text


@pytest.mark.requires("git", "cc")
@pytest.mark.slow
def test_a_wheel_carries_the_data_plane_and_the_data_for_its_platform(tmp_path):
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=TOP, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (TOP / name).is_file():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, tmp_path / "tree" / name)
    argv = (
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "out",
        "./tree",
    )
    subprocess.run(argv, cwd=tmp_path, check=True, timeout=110)
    (wheel,) = (tmp_path / "out").glob("vosctl-*.whl")
    assert wheel.name.split("-", 2)[2].startswith("py3-none-linux_")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "vosctl/relay/media/libvosmedia.so",
        "vosctl/relay/media/dataplane/vos.h",
        "vosctl/site/variables/defaults.yml",
        "vosctl/_data/schemas/vars.json",
        "vosctl/_data/templates/relay/vosctl-relay.service.j2",
        "vosctl/_data/playbooks/site.yml",
        "vosctl/_data/inventory/hosts.yml",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/"))]

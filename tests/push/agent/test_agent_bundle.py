"""The archive, the loader and what they need on a node."""

from __future__ import annotations

import ast
import io
import marshal
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from agent_client import PYTHON, Agent, Machine, Target, Wanted

from vosctl.push.agent import bundle, start

SOURCES = sorted(Path(bundle.__file__).parent.glob("*.py"))
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
OLD_PYTHONS = (
    sorted(map(str, PYENV.glob("3.9.*/bin/python3.9"))) if os.access(PYENV, os.R_OK | os.X_OK) else []
)


def test_the_loader_fits_a_command_line() -> None:
    assert len(bundle.LOADER) <= 1700
    assert "'" not in bundle.LOADER  # it is quoted with these


def test_the_archive_is_the_same_bytes_in_other_processes() -> None:
    script = "from vosctl.push.agent import bundle; print(bundle.digest())"
    seen = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        seen.add(subprocess.check_output([sys.executable, "-c", script], env=environment, text=True).strip())
    assert seen == {bundle.digest()}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_sources_are_python_3_9_and_need_the_standard_library_only(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= {*sys.stdlib_module_names, "vosctl"}


@pytest.mark.parametrize("python", [PYTHON, *OLD_PYTHONS])
def test_every_module_can_be_imported_with_nothing_but_the_archive(tmp_path: Path, python: str) -> None:
    archive = tmp_path / "agent.pyz"
    archive.write_bytes(bundle.archive())
    names = [
        name[:-3].replace("/", ".")
        for name in zipfile.ZipFile(archive).namelist()
        if not name.endswith("__.py")
    ]
    script = f"import sys; sys.path.insert(0, {str(archive)!r}); [__import__(n) for n in {names!r}]"
    subprocess.run([python, "-I", "-S", "-W", "error", "-c", script], check=True)
    assert "vosctl.push.agent.apply" in names
    assert "vosctl.push.agent.bundle" not in names


@pytest.mark.parametrize("python", [PYTHON, *OLD_PYTHONS])
def test_an_apply_works_with_that_python(folder: Target, python: str) -> None:
    wanted = Wanted().file("/etc/a", b"1")
    applied = folder.apply(wanted, agent=folder.agent(python=python))
    assert applied["op"] == "applied", applied
    assert folder.ask("confirm", id=applied["id"])["op"] == "confirmed"


def test_a_damaged_agent_is_not_run() -> None:
    command = [PYTHON, "-I", "-S", "-c", bundle.LOADER, "0" * 64, "-"]
    archive = bundle.archive()
    result = subprocess.run(
        command, input=len(archive).to_bytes(4, "big") + archive, capture_output=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout == b"NEED\n"
    assert b"damaged" in result.stderr


def test_a_controller_that_hangs_up_ends_the_agent() -> None:
    agent = Agent(cache=False)
    agent.process.stdin.close()
    assert agent.process.wait(20) == 0
    agent.close()


@pytest.mark.netns
def test_the_node_keeps_the_agent_until_the_next_boot(nft: Machine) -> None:
    with nft.agent() as first, nft.agent() as second:
        assert (first.had_it, second.had_it) == (False, True)
    kept = nft.path(f"/run/vosctl/agent-{bundle.digest()}.pyz")
    assert kept.stat().st_mode & 0o777 == 0o600
    # The byte code is what a second run uses, this Python's.
    (compiled,) = kept.parent.glob("agent-*.cpython-*")
    assert compiled.stat().st_mode & 0o777 == 0o600
    assert nft.inspect(Wanted())["files"] == {}


@pytest.mark.netns
@pytest.mark.parametrize("spoil", ["echo x >> {}", "chmod 666 {}", "chown 1000 {}"])
def test_a_kept_agent_that_somebody_touched_is_not_run(nft: Machine, spoil: str) -> None:
    nft.inspect(Wanted())
    nft.run(spoil.format(f"/run/vosctl/agent-{bundle.digest()}.pyz"))
    with nft.agent() as agent:
        assert not agent.had_it
        assert agent.hello["op"] == "hello"


@pytest.mark.netns
@pytest.mark.parametrize("fits", [True, False])
def test_byte_code_that_comes_along_is_kept_where_it_is_this_python_s(nft: Machine, *, fits: bool) -> None:
    nft.run("rm -rf /run/vosctl")
    code = bundle.compiled()
    sent = code if fits else b"\0\0\r\n" + code[4:]
    archive = bundle.archive()
    data = (len(archive) | 1 << 31).to_bytes(4, "big") + archive + len(sent).to_bytes(4, "big") + sent
    command = [PYTHON, "-I", "-S", "-c", bundle.LOADER, bundle.digest()]
    result = subprocess.run(nft.argv(command), input=data, capture_output=True, check=True)
    assert result.stdout.startswith(b"NEED\n")
    assert result.stderr == b""
    (kept,) = nft.path("/run/vosctl").glob("agent-*.cpython-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (kept.read_bytes() == zlib.decompress(code[4:])) == fits
    names = set(map(start.module, zipfile.ZipFile(io.BytesIO(archive)).namelist()))
    script = f"import marshal; print(*marshal.load(open({str(kept)!r}, 'rb')))"
    found = subprocess.check_output([PYTHON, "-I", "-S", "-c", script], text=True)
    assert names - {"__main__"} <= set(found.split()) <= names
    with nft.agent() as agent:
        assert agent.had_it


@pytest.mark.netns
def test_byte_code_that_somebody_could_have_written_is_not_run(nft: Machine) -> None:
    nft.inspect(Wanted())
    (kept,) = nft.path("/run/vosctl").glob("agent-*.cpython-*")
    kept.write_bytes(marshal.dumps({"vosctl.push.agent.start": b"not code"}))
    kept.chmod(0o666)
    assert nft.inspect(Wanted())["files"] == {}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b"vosctl.push.agent.main" in kept.read_bytes()

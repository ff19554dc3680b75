from __future__ import annotations

import json
import stat

import pytest
from site_samples import two_edges

from vosctl.compile.desired import Release
from vosctl.compile.output import write
from vosctl.compile.site import compile_site
from vosctl.errors import VosctlError


@pytest.fixture
def edge_a():
    return compile_site(two_edges(), release=Release("0.1.0", "ab" * 32, b"archive"))["edge-a"]


def written(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_everything_but_secrets_is_there_to_read(edge_a, tmp_path):
    write(edge_a, tmp_path)
    found = written(tmp_path / "edge-a")
    for file in edge_a.files:
        if not file.secret:
            assert found[f"files{file.path}"] == file.content
    assert found["firewall/rules.v4"].decode() == edge_a.rulesets[0].text
    assert found["firewall/sets"].startswith(b"create vos-admin4 ")
    summary = json.loads(found["desired.json"])
    assert summary["release"] == {"version": "0.1.0", "digest": "ab" * 32}
    assert summary["files"]["/etc/vosctl/relay-keys.json"]["mode"] == "0600"
    assert summary["files"]["/etc/vosctl/relay-keys.json"]["owner"] == "vosrelay:vosrelay"
    assert summary["accounts"] == ["vosrelay"]
    assert "filter INPUT -> VOS-INPUT" in summary["hooks"]["v6"]
    assert summary["sysctls"]["net.core.somaxconn"] == "1024"


def test_secrets_are_masked(edge_a, tmp_path):
    write(edge_a, tmp_path)
    everything = b"".join(written(tmp_path).values())
    assert b"Vw4JX0q2uB7mEt9s" not in everything
    assert b"p1Lk8ZsYc3Rf6HdN" not in everything
    line = (tmp_path / "edge-a/files/etc/vosctl/relay-keys.json").read_text()
    assert line.startswith("<secret of 102 bytes, fingerprint ")


def test_fingerprints_compare_under_one_key(edge_a, tmp_path):
    for name, key in (("a", b"k1"), ("b", b"k1"), ("c", b"k2")):
        write(edge_a, tmp_path / name, key=key)
    masked = [(tmp_path / name / "edge-a/files/etc/vosctl/relay-keys.json").read_text() for name in "abc"]
    assert masked[0] == masked[1] != masked[2]


def test_revealed_secrets_are_for_the_owner_alone(edge_a, tmp_path):
    write(edge_a, tmp_path, reveal_secrets=True)
    path = tmp_path / "edge-a/files/etc/vosctl/relay-keys.json"
    assert "Vw4JX0q2uB7mEt9s" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_run_leaves_nothing_of_the_first(edge_a, tmp_path):
    write(edge_a, tmp_path)
    (tmp_path / "edge-a/files/etc/old.conf").write_text("from an earlier site")
    write(edge_a, tmp_path)
    assert "files/etc/old.conf" not in written(tmp_path / "edge-a")


def test_a_folder_of_somebody_else_is_left_alone(edge_a, tmp_path):
    (tmp_path / "edge-a").mkdir()
    (tmp_path / "edge-a/notes.txt").write_text("mine")
    with pytest.raises(VosctlError, match="did not write"):
        write(edge_a, tmp_path)
    assert (tmp_path / "edge-a/notes.txt").read_text() == "mine"


def test_a_file_in_the_way_is_an_error_that_names_it(edge_a, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(VosctlError, match="out"):
        write(edge_a, tmp_path / "out")

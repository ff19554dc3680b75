"""The ready-made GitHub Action, GitLab job and pre-commit configuration: their own commands, in a scratch repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from review_samples import edit, git

INTEGRATIONS = Path(__file__).parents[2] / "integrations"
TRUNKS = "inventory/group_vars/all/trunks.yml"
BIN = Path(sys.executable).parent


@pytest.fixture
def request_to_merge(site):
    """The site in a repository's top folder, with a branch whose change weakens a trunk; returns the base."""
    for name in ("inventory", "playbooks"):
        shutil.move(str(site / name), site.parent / name)
    os.chdir(site.parent)
    site.rmdir()
    git("add", "--all")
    git("commit", "--quiet", "--message=at the top")
    base = git("rev-parse", "HEAD").strip()
    edit(TRUNKS, ("encryption: aes128", "encryption: rc4"))
    git("commit", "--quiet", "--all", "--message=faster")
    return base


def shell(script: str, env: dict[str, str], *, bash: bool = True) -> subprocess.CompletedProcess[str]:
    whole = {
        "PATH": f"{Path.cwd()}/bin:{BIN}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        **env,
    }
    words = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c") if bash else ("sh", "-ec")
    return subprocess.run(
        (*words, script), env=whole, capture_output=True, text=True, check=False, timeout=60
    )


def evaluated(text: str, context: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: context[found[1]], text)


def test_the_github_action_comments_and_fails_the_check(request_to_merge, tmp_path):
    action = yaml.safe_load((INTEGRATIONS / "github/action.yml").read_text())
    event = {"github.event.pull_request.base.sha": request_to_merge, "github.event.pull_request.number": "7",
             "github.token": "t0ken"}  # fmt: skip
    context = {
        f"inputs.{name}": evaluated(each["default"], event) for name, each in action["inputs"].items()
    } | event
    Path("bin").mkdir()
    Path("bin/gh").write_text(
        '#!/bin/sh\n[ -n "$GH_TOKEN" ] && echo "$@" > gh-called && cp vosctl-review.md commented.md\n'
    )
    Path("bin/gh").chmod(0o755)
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"
    outputs.touch()
    done = {}
    for step in action["runs"]["steps"]:
        context |= {f"steps.review.outputs.{key}": value for key, _, value in
                    (line.partition("=") for line in outputs.read_text().splitlines())}  # fmt: skip
        env = {name: evaluated(text, context) for name, text in step.get("env", {}).items()}
        env |= {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_SHA": "c0ffee",
                "GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "a/b"}  # fmt: skip
        if "run" not in step:
            assert Path(step["with"]["sarif_file"]).is_file()
        elif step["name"] == "Install":
            assert subprocess.run(("bash", "-nc", step["run"]), check=False).returncode == 0
        else:
            done[step["name"]] = shell(step["run"], env)
    codes = {name: each.returncode for name, each in done.items()}
    assert codes == {"Validate": 0, "Review": 0, "Comment": 0, "Verdict": 5}, done
    assert Path("gh-called").read_text().startswith("pr comment 7 --body-file vosctl-review.md")
    comment = Path("commented.md").read_text()
    assert "encryption aes128 → rc4 | `weakens-encryption`" in comment
    assert f"(https://git.example/a/b/blob/c0ffee/{TRUNKS}#L6)" in comment
    assert summary.read_text() == comment


class _Gitlab(BaseHTTPRequestHandler):
    seen: list[tuple[str, str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((self.path, self.headers["PRIVATE-TOKEN"], body))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.requires("curl")
@pytest.mark.parametrize("weaker", [True, False])
def test_the_gitlab_job_notes_and_fails(request_to_merge, weaker):
    job = yaml.safe_load((INTEGRATIONS / "gitlab/vosctl.gitlab-ci.yml").read_text())["vosctl-review"]
    if not weaker:
        edit(TRUNKS, ("encryption: rc4", "encryption: srtp"))
        git("commit", "--quiet", "--all", "--message=better")
    server = HTTPServer(("127.0.0.1", 0), _Gitlab)
    _Gitlab.seen.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        env = {**job["variables"], "CI_MERGE_REQUEST_DIFF_BASE_SHA": request_to_merge, "CI_PROJECT_ID": "5",
               "CI_MERGE_REQUEST_IID": "9", "VOSCTL_REVIEW_TOKEN": "glpat-x", "CI_COMMIT_SHA": "c0ffee",
               "CI_API_V4_URL": f"http://127.0.0.1:{server.server_port}/api/v4",
               "CI_PROJECT_URL": "https://git.example/a/b", "no_proxy": "*"}  # fmt: skip
        done = shell("\n".join(job["script"]), env, bash=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == (5 if weaker else 0), done.stdout + done.stderr
    ((path, token, body),) = _Gitlab.seen
    assert (path, token) == ("/api/v4/projects/5/merge_requests/9/notes", "glpat-x")
    note = urllib.parse.parse_qs(body)["body"][0]
    assert note == Path("vosctl-review.md").read_text()
    assert f"(https://git.example/a/b/-/blob/c0ffee/{TRUNKS}#L6)" in note
    assert all(Path(path).is_file() for path in job["artifacts"]["paths"])


def test_the_pre_commit_hooks_stop_a_wrong_site(request_to_merge):
    shutil.copy(INTEGRATIONS / "pre-commit/pre-commit-config.yaml", ".pre-commit-config.yaml")
    git("add", "--all")
    home = {"PRE_COMMIT_HOME": f"{Path.cwd()}/cache", "XDG_CACHE_HOME": f"{Path.cwd()}/cache"}
    good = shell("pre-commit run --all-files", home)
    assert good.returncode == 0, good.stdout + good.stderr
    edit(TRUNKS, ("encryption: rc4", "encryption: rc5"))
    bad = shell("pre-commit run --all-files", home)
    assert bad.returncode == 1
    assert f"{TRUNKS}:10:" in bad.stdout

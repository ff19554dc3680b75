"""The three tools of the push benches, as somebody who knows them would set them up for this job.

ansible-core: forks 50, pipelining, ControlPersist, no fact gathering, the interpreter named, linear strategy.
pyinfra: its own default of parallel connections (all hosts), no prompts.
vosctl: connections held for a minute like ansible's; commit-confirm, validation, compilation and the proof of the filter included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Protocol

from bench import push_site
from bench.push_bed import Bed, Run

PEERS = Path(__file__).resolve().parent.parent / ".venv-peers"
_VOSCTL = Path(sys.executable).with_name("vosctl")

_ANSIBLE_CFG = """[defaults]
forks = 50
gathering = explicit
host_key_checking = True
retry_files_enabled = False
interpreter_python = /usr/bin/python3
[connection]
pipelining = True
[ssh_connection]
ssh_args = -F {ssh_config} -o ControlMaster=auto -o ControlPersist=60s
control_path_dir = {folder}/cp
"""

_DEPLOY = """
from pyinfra.operations import files, server
FILES = {files!r}
for path, (source, load) in FILES.items():
    put = files.put(name=path, src=source, dest=path, mode="644", create_remote_dir=False)
    server.shell(name="load " + path, commands=[load], _if=put.did_change)
"""


class Tool(Protocol):
    """Brings all hosts of a bed to a version of the job."""

    def prepare(self, version: int) -> None:
        """Write what the tool is to apply; not measured."""

    def apply(self) -> Run:
        """Apply it to all hosts; raise RuntimeError where one fails."""


class Vosctl:
    """vosctl apply over SSH."""

    def __init__(self, bed: Bed, *, transport: str = "auto", persist: int = 60) -> None:
        self._bed = bed
        self._folder = bed.folder / "site"
        fleet = bed.fleet
        self._command = (
            str(_VOSCTL), "apply", str(self._folder / "playbooks/site.yml"), "--transport", transport,
            "--persist", str(persist), "--private-key", str(fleet.private_key), "--known-hosts", str(fleet.known_hosts),
        )  # fmt: skip

    def prepare(self, version: int) -> None:
        """Write the site."""
        push_site.write(self._folder, self._bed.nodes, version=version)

    def apply(self) -> Run:
        """Apply it."""
        return self._bed.measure(self._command)


class Ansible:
    """ansible-playbook: a copy task for each file, a handler that loads it when it changed."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._folder = bed.folder / "ansible"
        (self._folder / "files").mkdir(parents=True)
        text = _ANSIBLE_CFG.format(ssh_config=bed.fleet.ssh_config, folder=self._folder)
        (self._folder / "ansible.cfg").write_text(text, encoding="utf-8")
        lines = "".join(f"{node.name} ansible_host={node.address} ansible_user=root\n" for node in bed.nodes)
        (self._folder / "hosts").write_text(lines, encoding="utf-8")
        tasks, handlers = [], []
        for path, load in push_site.LOAD.items():
            name = Path(path).name
            copy = {"src": f"files/{name}", "dest": path, "mode": "0644"}
            tasks.append({"name": path, "ansible.builtin.copy": copy, "notify": f"load {name}"})
            handlers.append({"name": f"load {name}", "ansible.builtin.shell": load})
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks, "handlers": handlers}
        # YAML reads JSON.
        (self._folder / "play.yml").write_text(json.dumps([play], indent=1), encoding="utf-8")

    def prepare(self, version: int) -> None:
        """Write the three files."""
        for path, text in _files(self._bed, version).items():
            (self._folder / "files" / Path(path).name).write_text(text, encoding="utf-8")

    def apply(self) -> Run:
        """Run the play."""
        program = str(PEERS / "bin/ansible-playbook")
        play = (program, "-i", str(self._folder / "hosts"), str(self._folder / "play.yml"))
        return self._bed.measure(play, {"ANSIBLE_CONFIG": str(self._folder / "ansible.cfg")})


class Pyinfra:
    """pyinfra: files.put for each file, a shell command that loads it when it changed."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._folder = bed.folder / "pyinfra"
        (self._folder / "files").mkdir(parents=True)
        data = {"ssh_config_file": str(bed.fleet.ssh_config), "ssh_user": "root", "ssh_key": str(bed.fleet.private_key),
                "ssh_known_hosts_file": str(bed.fleet.known_hosts)}  # fmt: skip
        nodes = [(node.address, data) for node in bed.nodes]
        (self._folder / "inventory.py").write_text(f"hosts = {nodes!r}\n", encoding="utf-8")
        files = {
            path: (str(self._folder / "files" / Path(path).name), load)
            for path, load in push_site.LOAD.items()
        }
        (self._folder / "deploy.py").write_text(_DEPLOY.format(files=files), encoding="utf-8")

    def prepare(self, version: int) -> None:
        """Write the three files."""
        for path, text in _files(self._bed, version).items():
            (self._folder / "files" / Path(path).name).write_text(text, encoding="utf-8")

    def apply(self) -> Run:
        """Run the deploy."""
        program = str(PEERS / "bin/pyinfra")
        return self._bed.measure((program, "-y", str(self._folder / "inventory.py"), str(self._folder / "deploy.py")))  # fmt: skip


def _files(bed: Bed, version: int) -> dict[str, str]:
    playbook = push_site.write(bed.folder / "peers-site", bed.nodes[:1], version=version)
    return push_site.files(push_site.desired(playbook))

"""Compiles the relay's C data plane and the rates' prefix lookup whenever the package is built or installed, editable installs included."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MEDIA = "vosctl/relay/media"
LIBRARY = f"{MEDIA}/libvosmedia.so"
LOOKUP = "vosctl/rates/lookup"
LOOKUP_LIBRARY = f"{LOOKUP}/libvosrates.so"


class DataPlaneHook(BuildHookInterface[Any]):
    """Adds the C libraries to the wheel and names the platform they were compiled for.

    They have no Python ABI, so one wheel serves every Python 3 on that architecture.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree; a wheel also carries the result."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        build = _load(root / MEDIA / "build.py")
        build.compile(root / LIBRARY)
        build.compile(root / LOOKUP_LIBRARY, sources=root / LOOKUP / "native")
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if version != "editable":
            for library in (LIBRARY, LOOKUP_LIBRARY):
                build_data["force_include"][str(root / library)] = library


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("vosctl_media_build", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path}: the data plane's build script is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""Compiles the relay's C data plane whenever the package is built or installed, editable installs included."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MEDIA = "vosctl/relay/media"
LIBRARY = f"{MEDIA}/libvosmedia.so"


class DataPlaneHook(BuildHookInterface[Any]):
    """Adds ``libvosmedia.so`` to the wheel and names the platform it was compiled for.

    The library has no Python ABI, so one wheel serves every Python 3 on that architecture.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree; a wheel also carries the result."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        _load(root / MEDIA / "build.py").compile(root / LIBRARY)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if version != "editable":
            build_data["force_include"][str(root / LIBRARY)] = LIBRARY


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("vosctl_media_build", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path}: the data plane's build script is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

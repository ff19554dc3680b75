"""The first module that runs on a node: keeps the archive's byte code and goes on from that."""

from __future__ import annotations

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

CACHE = "/run/vosctl/"
PACKAGES = ("vosctl", "vosctl.push", "vosctl.push.agent")


class Modules:
    """Finds and loads modules in byte code, their names with their packed code: a third of zipimport's time."""

    def __init__(self, codes: Mapping[str, bytes]) -> None:
        self._codes = codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module that is there (importlib.abc.MetaPathFinder)."""
        del path, target
        if name not in self._codes:
            return None
        return type(sys.__spec__)(name, self, is_package=name in PACKAGES)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave making the module to Python (importlib.abc.Loader)."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it (importlib.abc.Loader)."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102  what an import does

    def get_code(self, name: str) -> CodeType:
        """Return a module's code (importlib.abc.InspectLoader)."""
        return marshal.loads(self._codes[name])  # type: ignore[no-any-return]  # noqa: S302  see start


def start(
    archive: str, arguments: Sequence[str], code: bytes = b"", codes: Mapping[str, bytes] | None = None
) -> int:
    """Run the agent of the zip file ``archive``; return its exit code.

    Compiling the sources takes longer than all the rest of an idle run, so the byte code is kept
    beside the archive until the next reboot, for root alone to write; ``codes`` is what was kept.
    ``code`` is the byte code that came with the archive, of some Python's (``bundle.compiled``).
    """
    if codes is None:
        keeps = archive.startswith(CACHE)
        data = _sent(code) or (_compile(archive) if keeps else b"")
        if keeps:
            _keep(f"{archive}.{sys.implementation.cache_tag}", data)
        codes = marshal.loads(data) if data else {}  # noqa: S302  from the controller, or just compiled here
    if codes:
        sys.meta_path.insert(0, Modules(codes))
        for name in [name for name in sys.modules if name.partition(".")[0] == "vosctl"]:
            del sys.modules[name]
    from vosctl.push.agent.main import main  # noqa: PLC0415  must come from the byte code

    return main(arguments, archive)


def _keep(path: str, data: bytes) -> None:
    import os  # noqa: PLC0415  only on the first run after a boot

    new = f"{path}.{os.getpid()}"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        os.replace(new, path)
    except OSError:
        return  # compiled again the next time


def _sent(code: bytes) -> bytes:
    """Return the packed byte code that came, b"" where it is not this Python's."""
    import zlib  # noqa: PLC0415
    from importlib.util import MAGIC_NUMBER  # noqa: PLC0415

    size = len(MAGIC_NUMBER)
    return zlib.decompress(code[size:]) if code[:size] == MAGIC_NUMBER else b""


def _compile(archive: str) -> bytes:
    """Return the sources of the archive, compiled, as ``bundle.compiled`` packs them."""
    import zipfile  # noqa: PLC0415

    codes = {}
    with zipfile.ZipFile(archive) as source:
        for name in source.namelist():
            code = compile(source.read(name), name, "exec", dont_inherit=True, optimize=0)
            codes[module(name)] = marshal.dumps(code)
    return marshal.dumps(codes)


def module(name: str) -> str:
    """Return the module that a source in the archive holds."""
    return name[: -len(".py")].replace("/", ".").replace(".__init__", "")

"""Compiles the kernel's part of the relay with clang into the header of instructions that nodes compile in.

``python scripts/kernel_program.py`` writes it, ``--check`` fails where what is committed is not of this source: by the
source's digest, which the header names, and by its instructions where the compiler is of the version that made them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

DATAPLANE = Path(__file__).resolve().parent.parent / "vosctl/relay/media/dataplane"
SOURCE = DATAPLANE / "kernel/settled.bpf.c"
SHARED = DATAPLANE / "flow.h"
HEADER = DATAPLANE / "kernel_program.h"
MAPS = {"vos_places": 1, "vos_flows": 2}
SECTION = "tcx"
FLAGS = ("-O2", "-g0", "-ffreestanding", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror")

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_INSTRUCTION = 8
_A_LINE = 4


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


class Object:
    """The sections of an ELF object for the kernel's machine, by name."""

    def __init__(self, raw: bytes) -> None:
        header = _HEADER.unpack_from(raw)
        start, size, count, names_at = header[6], header[11], header[12], header[13]
        rows = [_SECTION.unpack_from(raw, start + at * size) for at in range(count)]
        data = [b"" if row[1] == 8 else raw[row[4] : row[4] + row[5]] for row in rows]
        self.sections = {_text(data[names_at], row[0]): data[at] for at, row in enumerate(rows)}

    def symbol(self, number: int) -> str:
        """Return the name of a symbol."""
        row = _SYMBOL.unpack_from(self.sections[".symtab"], number * _SYMBOL.size)
        return _text(self.sections[".strtab"], row[0])


def instructions(raw: bytes) -> list[int]:
    """Return the program's instructions; one that loads a map says which in its immediate value."""
    found = Object(raw)
    code = bytearray(found.sections[SECTION])
    for at, info in _RELOCATION.iter_unpack(found.sections[f".rel{SECTION}"]):
        struct.pack_into("<i", code, at + 4, MAPS[found.symbol(info >> 32)])
        code[at + 1] |= 1 << 4  # BPF_PSEUDO_MAP_FD, in place of a source register
    return [one for (one,) in struct.iter_unpack("<Q", code)]


def origin() -> str:
    """Return what the header is made of, and by which compiler: a line of C."""
    digest = hashlib.sha256(SOURCE.read_bytes() + SHARED.read_bytes() + " ".join(FLAGS).encode()).hexdigest()
    told = subprocess.run([_clang(), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)", told)
    return f"/* clang {found[1] if found else '?'}, {digest} */"


def _clang() -> str:
    return shutil.which("clang") or "clang"


def compiled() -> str:
    """Return the header that the source gives."""
    include = next(Path("/usr/include").glob("*-linux-gnu/asm")).parent
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "settled.o"
        command = [
            _clang(),
            *FLAGS,
            f"-I{include}",
            "-c",
            str(SOURCE),
            "-o",
            str(out),
        ]
        subprocess.run(command, check=True)
        code = [f"0x{one:016x}" for one in instructions(out.read_bytes())]
    rows = [", ".join(code[at : at + _A_LINE]) for at in range(0, len(code), _A_LINE)]
    return "\n".join(
        [
            "/* Made by scripts/kernel_program.py from kernel/settled.bpf.c: change that. */",
            origin(),
            "static const uint64_t kernel_program[] = {",
            *(f"    {row}," for row in rows),
            "};",
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the header, or with ``--check`` compare it; return an exit code."""
    made = compiled()
    if "--check" not in arguments:
        HEADER.write_text(made, encoding="utf-8")
        return 0
    committed, line = HEADER.read_text(encoding="utf-8"), origin()
    said = committed.splitlines()[1]
    of_another_clang = said.split(",")[0] != line.split(",")[0]
    if committed == made or (of_another_clang and said.split(",")[1] == line.split(",")[1]):
        return 0
    sys.stderr.write(f"{HEADER}: not what {SOURCE.name} gives; python {Path(__file__).name}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The agent as one zip file, and the few lines that receive and start it on a node.

Runs on the controller only.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import zipfile
import zlib
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from threading import Lock
from types import CodeType

from vosctl.push.agent import start

_HERE = Path(__file__).parent
_PACKAGES = ("vosctl/push/__init__.py",)
_NOT_SENT = ("bundle.py",)
_MAIN = """\
import sys
from vosctl.push.agent.start import start
sys.exit(start(sys.argv[0], sys.argv[1:]))
"""

# Answers SAME with an earlier answer (a frame) when its second argument is the key of one that still holds (see
# glance.py), and then waits: a byte on stdin makes it go on, the end of stdin ends it. Else it answers HAVE when the
# node kept this very agent since its boot, or NEED, and reads it from stdin (4-byte big-endian length, zip; with the
# length's highest bit set the byte code follows, see ``compiled``, after a length of its own). "once" as the second
# argument keeps it from using that cache. The byte code that was kept is for this Python only, as start.py has it.
# Taking the interpreter apart at the end would cost a sixth of a run.
LOADER = """\
import os,sys
a=sys.argv;d=a[1];y=b"";R="/run/vosctl";p=R+"/agent-%s.pyz"%d
def put(f,b):
 while b:b=b[os.write(f,b):]
def mine(f):
 s=os.stat(f);return s.st_uid==0==s.st_mode&18
o=a[2:]==["once"]
if len(a)>2:
 try:
  q="%s/seen-%s-%x"%(R,a[2],sys.hexversion)
  if mine(R) and mine(q):
   import marshal
   c,k=marshal.loads(open(q,"rb",0).read());g={"__name__":"glance"};exec(c,g)
   if g["same"](k):
    m=k["answer"];put(1,b"SAME\\n"+m)
    if not os.read(0,1):os._exit(0)
 except (OSError,ValueError,EOFError,TypeError,KeyError):pass
try:from _sha256 import sha256
except ImportError:from hashlib import sha256
def rd(n):
 b=b""
 while len(b)<n:
  c=os.read(0,n-len(b))
  if not c:sys.exit("no agent came")
  b+=c
 return b
def ok(b):return sha256(b).hexdigest()==d
try:
 s=os.stat(p);h=not o and s.st_uid==0==s.st_mode&18 and ok(open(p,"rb").read())
except OSError:h=0
if h:os.write(1,b"HAVE\\n")
else:
 os.write(1,b"NEED\\n");n=int.from_bytes(rd(4),"big");b=rd(n&0x7fffffff)
 if n>>31:y=rd(int.from_bytes(rd(4),"big"))
 if not ok(b):sys.exit("the agent came damaged")
 try:
  if o or os.getuid():raise OSError
  os.makedirs(R,448,1);q="%s.%d"%(p,os.getpid());f=os.open(q,193,384);put(f,b);os.rename(q,p)
 except OSError:
  f=os.memfd_create("a");put(f,b);p="/proc/self/fd/%d"%f
m=None
try:
 q=p+"."+sys.implementation.cache_tag
 if not h or not mine(q):raise OSError
 import marshal
 m=marshal.loads(open(q,"rb",0).read());g={"__name__":""};exec(marshal.loads(m["vosctl.push.agent.start"]),g);start=g["start"]
except OSError:
 sys.path.insert(0,p)
 from vosctl.push.agent.start import start
r=start(p,a[3:],y,m);sys.stderr.flush();os._exit(r)
"""
_packing = Lock()


@lru_cache(maxsize=1)
def archive() -> bytes:
    """Return the agent's zip file: the same bytes for the same sources."""
    sources = {"__main__.py": _MAIN.encode(), **dict.fromkeys(_PACKAGES, b"")}
    sources.update({name: path.read_bytes() for name, path in _files().items()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(sources):
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            target.writestr(member, sources[name])
    return buffer.getvalue()


def _files() -> dict[str, Path]:
    """Return where the sources lie that the archive holds as they are."""
    found = {
        f"vosctl/push/agent/{path.name}": path for path in _HERE.glob("*.py") if path.name not in _NOT_SENT
    }
    return {"vosctl/__init__.py": _HERE.parent.parent / "__init__.py", **found}


def compiled() -> bytes:
    """Return the archive's byte code, for nodes with this Python's: they need ten times as long to compile it.

    The magic number of the byte code, then modules' names and packed codes as marshal has them, deflated. It is no
    part of the archive: the digest of that must not hang on the controller's Python.
    """
    with _packing:  # the first of many threads makes it for all
        return _compiled()


@lru_cache(maxsize=1)
def _compiled() -> bytes:
    codes = {start.module(name): marshal.dumps(_code(name, path)) for name, path in _files().items()}
    for name in _PACKAGES:
        codes[start.module(name)] = marshal.dumps(compile("", name, "exec", dont_inherit=True, optimize=0))
    return MAGIC_NUMBER + zlib.compress(marshal.dumps(codes), 6)


def _code(name: str, path: Path) -> CodeType:
    """Return a source's code that names its file as the archive does, not as this machine does."""
    module = name.removesuffix(".py").replace("/", ".")
    code = SourceFileLoader(module, str(path)).get_code(module)
    if code is None:
        raise ImportError(f"{path} has no code")
    return _placed(code, name)


def _placed(code: CodeType, name: str) -> CodeType:
    """Return code that names its file as the archive does, not as this machine does."""
    inner = tuple(_placed(each, name) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=name, co_consts=inner)


@lru_cache(maxsize=1)
def digest() -> str:
    """Return the SHA-256 of the archive, hex."""
    return hashlib.sha256(archive()).hexdigest()

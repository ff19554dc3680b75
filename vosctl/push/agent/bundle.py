"""The agent as one zip file, and the few lines that receive and start it on a node.

Runs on the controller only.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path

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
# node kept this very agent since its boot, or NEED, and reads it from stdin (4-byte big-endian length, zip). "once"
# as the second argument keeps it from using that cache.
LOADER = """\
import os,sys
a=sys.argv;d=a[1];R="/run/vosctl";p=R+"/agent-%s.pyz"%d
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
from hashlib import sha256
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
 os.write(1,b"NEED\\n");b=rd(int.from_bytes(rd(4),"big"))
 if not ok(b):sys.exit("the agent came damaged")
 try:
  if o or os.getuid():raise OSError
  os.makedirs(R,448,1);q="%s.%d"%(p,os.getpid());f=os.open(q,193,384);put(f,b);os.rename(q,p)
 except OSError:
  f=os.memfd_create("a");put(f,b);p="/proc/self/fd/%d"%f
sys.path.insert(0,p)
from vosctl.push.agent.start import start
sys.exit(start(p,a[3:]))
"""


@lru_cache(maxsize=1)
def archive() -> bytes:
    """Return the agent's zip file: the same bytes for the same sources."""
    root = _HERE.parent.parent
    sources = {"__main__.py": _MAIN.encode(), "vosctl/__init__.py": (root / "__init__.py").read_bytes()}
    sources.update(dict.fromkeys(_PACKAGES, b""))
    for path in _HERE.glob("*.py"):
        if path.name not in _NOT_SENT:
            sources[f"vosctl/push/agent/{path.name}"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(sources):
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            target.writestr(member, sources[name])
    return buffer.getvalue()


@lru_cache(maxsize=1)
def digest() -> str:
    """Return the SHA-256 of the archive, hex."""
    return hashlib.sha256(archive()).hexdigest()

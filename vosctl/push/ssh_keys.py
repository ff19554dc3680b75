"""Private keys and certificates from files: each is parsed once, and its passphrase asked for once."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)
from paramiko.pkey import PublicBlob

from vosctl.push.ssh_config import Endpoint
from vosctl.secret import Secret

MISSING = "there is no such file"
LOCKED = "is encrypted; add it to ssh-agent, or give its passphrase with --ssh-passphrase-file"
WRONG = "is encrypted, and the passphrase given does not open it"
_MAGIC = b"openssh-key-v1\0"

Passphrase = Callable[[Path], Secret | None]


class Keys:
    """Private keys by path; a file that is no usable key is remembered with the reason."""

    def __init__(self, passphrase: Passphrase | None = None) -> None:
        self._passphrase = passphrase
        self._loaded: dict[Path, paramiko.PKey | str] = {}
        self._public: dict[Path, bytes | None] = {}
        self._certificates: dict[Path, tuple[bytes, PublicBlob] | None] = {}
        self._lock = threading.Lock()

    def load(self, path: Path) -> paramiko.PKey | str:
        """Return the key in the file, or why it cannot be used; asks for a passphrase where it needs one."""
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = self._load(path)
            return self._loaded[path]

    def public(self, path: Path) -> bytes | None:
        """Return the public half in SSH's wire format without opening the key, None where it is not told."""
        with self._lock:
            if path not in self._public:
                self._public[path] = _public(path)
            return self._public[path]

    def certificates(self, endpoint: Endpoint) -> dict[bytes, list[PublicBlob]]:
        """Return the certificates that an endpoint names or has beside its keys, by the key they are made for."""
        beside = (path.with_name(path.name + "-cert.pub") for path in endpoint.keys)
        found: dict[bytes, list[PublicBlob]] = {}
        with self._lock:
            for file in dict.fromkeys((*beside, *endpoint.certificates)):
                if file not in self._certificates:
                    self._certificates[file] = _certificate(file)
                certificate = self._certificates[file]
                if certificate is not None:
                    found.setdefault(certificate[0], []).append(certificate[1])
        return found

    def _load(self, path: Path) -> paramiko.PKey | str:
        try:
            return _open(path, None)
        except TypeError:
            secret = self._passphrase(path) if self._passphrase is not None else None
        except _Unusable as error:
            return str(error)
        if secret is None:
            return LOCKED
        try:
            return _open(path, secret)
        except _Unusable:
            return WRONG


class _Unusable(Exception):  # noqa: N818  told to a person as a reason, never raised to a caller
    """Why a file gives no key."""


def _open(path: Path, secret: Secret | None) -> paramiko.PKey:
    """Return the key of a file; raise TypeError for an encrypted one without a passphrase."""
    try:
        key: paramiko.PKey = paramiko.PKey.from_path(path, secret.reveal().encode() if secret else None)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise _Unusable(MISSING) from error
    except OSError as error:
        raise _Unusable(error.strerror or str(error)) from error
    except paramiko.PasswordRequiredException as error:
        raise TypeError from error
    except (paramiko.SSHException, UnsupportedAlgorithm, ValueError) as error:
        raise _Unusable("is not a private key that can be used") from error
    key.public_blob = None  # certificates are tried one by one
    return key


def _certificate(file: Path) -> tuple[bytes, PublicBlob] | None:
    """Return the key that a certificate is made for and the certificate, None for a file that is none."""
    try:
        line = file.read_bytes()
        identity = load_ssh_public_identity(line.strip())
        if not isinstance(identity, SSHCertificate):
            return None
        key = identity.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return base64.b64decode(key.split()[1]), PublicBlob.from_string(line.decode())
    except (OSError, ValueError, UnsupportedAlgorithm):
        return None


def _public(path: Path) -> bytes | None:
    beside = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    with suppress(OSError, IndexError, binascii.Error):
        return base64.b64decode(beside.read_bytes().split()[1], validate=True)
    try:
        text = path.read_bytes()
        body = b"".join(line for line in text.splitlines() if b"-----" not in line)
        return _public_of(base64.b64decode(body, validate=True))
    except (OSError, binascii.Error):
        return None


def _public_of(blob: bytes) -> bytes | None:
    """Return the public key in the head of OpenSSH's key format, which is not encrypted (PROTOCOL.key)."""
    if not blob.startswith(_MAGIC):
        return None
    message = paramiko.Message(blob[len(_MAGIC) :])
    for _ in range(3):
        message.get_binary()
    return message.get_binary() if message.get_int() == 1 else None

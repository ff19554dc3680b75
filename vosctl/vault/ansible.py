"""Reads ansible-vault's format 1.1 and 1.2 (AES256), so that its files can be brought over; it is never written.

Source: Ansible's documentation, "Vault payload format 1.1 - 1.2".
"""

from __future__ import annotations

import hmac
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from msgspec import Struct

from vosctl.secret import Secret
from vosctl.site.tree import Mark
from vosctl.vault.faults import refuse
from vosctl.vault.primitives import authenticate

_BEGIN = "$ANSIBLE_VAULT;"
_HEADER = re.compile(
    r"\$ANSIBLE_VAULT;(?P<version>1\.[12]);(?P<cipher>[A-Z0-9]+)(?:;(?P<label>[^\s;]+))?[ \t]*"
)
_ROUNDS = 10_000
_AES_BLOCK = 16


class Password(Struct, frozen=True):
    """A password of ansible-vault; one with a label is tried first where the file names the label."""

    value: Secret
    label: str = ""


def is_whole(text: str) -> bool:
    """Whether a file is one encrypted text."""
    return text.startswith(_BEGIN)


def decrypt(text: str, passwords: tuple[Password, ...], mark: Mark, *, path: str = "") -> str:
    """Return the plain text; raise InputError where no password fits or the text is damaged."""
    first, _, rest = text.strip().partition("\n")
    header = _HEADER.fullmatch(first.rstrip("\r"))
    if header is None or header["cipher"] != "AES256":
        raise refuse("vault-ansible-format", "an ansible-vault format that is not 1.1 or 1.2 with AES256", mark, path=path,
                     hint="ansible-vault rekey writes 1.1 or 1.2")  # fmt: skip
    parts = _parts("".join(rest.split()))
    if parts is None:
        raise refuse("vault-ansible-format", "the ansible-vault text is cut off or damaged", mark, path=path,
                     hint="take it from git again")  # fmt: skip
    for password in sorted(passwords, key=lambda each: each.label != (header["label"] or "")):
        plain = _opened(*parts, password.value)
        if plain is not None:
            return plain
    label = f" (its label: {header['label']})" if header["label"] else ""
    message = "no ansible-vault password was given" if not passwords else "no ansible-vault password fits"
    raise refuse("vault-ansible-password", message + label, mark, path=path,
                 hint="--ansible-password-file FILE, or LABEL@FILE")  # fmt: skip


def _parts(body: str) -> tuple[bytes, bytes, bytes] | None:
    try:
        salt, mac, ciphertext = (
            bytes.fromhex(part) for part in bytes.fromhex(body).decode("ascii").split("\n", 2)
        )
    except ValueError:
        return None
    whole = len(salt) and len(mac) == 32 and len(ciphertext) and not len(ciphertext) % _AES_BLOCK
    return (salt, mac, ciphertext) if whole else None


def _opened(salt: bytes, mac: bytes, ciphertext: bytes, password: Secret) -> str | None:
    derived = PBKDF2HMAC(SHA256(), 80, salt, _ROUNDS).derive(password.reveal().encode())
    if not hmac.compare_digest(authenticate(derived[32:64], ciphertext), mac):
        return None
    decryptor = Cipher(algorithms.AES(derived[:32]), modes.CTR(derived[64:])).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    return padded[: -padded[-1]].decode()

"""A file, a recipient with a cheap passphrase, and keys that open what is made for it."""

from __future__ import annotations

from vosctl.secret import Secret
from vosctl.vault.document import parse
from vosctl.vault.keys import Keys
from vosctl.vault.opening import open_document
from vosctl.vault.primitives import Cost
from vosctl.vault.recipients import with_passphrase
from vosctl.vault.sealing import encrypt, new_envelope

PASSWORD = "four drawn words here"
OPERATORS, IDENTITY = with_passphrase("operators", Secret(PASSWORD), Cost(n=2**10))
FILE = "group_vars/all/keys.yml"
TEXT = """\
# our keys
keys:
  ab: {value: u7XkQ2mZr94TbnLe}  # current
  cd:
    value: "Jw5pVe81sHdYq3Ct"
gateways:
  acme:
    password: |  # of the customer
      line one
      line two

    addresses: [192.0.2.1, 192.0.2.2]
custom:
  pin: !secret 4711
  flag: !secret true
  nothing: !secret null
  rate: !secret 1.50
"""


def keys() -> Keys:
    return Keys(identities=lambda: [IDENTITY])


def seal(text: str = TEXT, *, file: str = FILE) -> str:
    return encrypt(parse(text, file), new_envelope((OPERATORS,)))


def opened(text: str, *, given: Keys | None = None, altered: bool = False):
    return open_document(parse(text, FILE), given or keys(), altered=altered)


def values(text: str) -> dict[str, tuple[str, str]]:
    found = opened(text)
    return {
        ".".join(map(str, path)): (value.kind, value.secret.reveal()) for path, value in found.values.items()
    }

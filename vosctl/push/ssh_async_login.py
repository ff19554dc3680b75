"""Host keys and logins for asyncssh: the same known_hosts, keys, agent and order as with paramiko."""

from __future__ import annotations

import asyncio

import asyncssh
import paramiko

from vosctl.errors import UnreachableError
from vosctl.push.ssh_auth import candidates, denied
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_shared import SshShared

_CERTIFICATE = "-cert-v01@openssh.com"


class Client(asyncssh.SSHClient):
    """Answers asyncssh's questions about one server. ``refusal`` is our error where the answer was no."""

    def __init__(self, node: str, endpoint: Endpoint, shared: SshShared) -> None:
        self._node = node
        self._endpoint = endpoint
        self._shared = shared
        self._tried: list[str] = []
        self._keys = candidates(node, endpoint, shared.keys, self._tried)
        self._password = shared.options.password if endpoint.last else None
        self._last: str | None = None
        self.authenticating = False
        self.refusal: UnreachableError | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Whether known_hosts has the key."""
        try:
            shown = paramiko.PKey.from_type_string(key.get_algorithm(), key.public_data)
            self._shared.known_hosts.check(self._node, self._endpoint, shown)
        except UnreachableError as error:
            self.refusal = error
            return False
        except paramiko.SSHException:
            return False
        return True

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Whether known_hosts has the authority; asyncssh checks the certificate itself."""
        try:
            self._shared.known_hosts.check_authority(self._node, self._endpoint, key.public_data)
        except UnreachableError as error:
            self.refusal = error
            return False
        return True

    async def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        """Return the next key to try."""
        self.authenticating = True
        self._refused()
        if not self._endpoint.public_key or self.refusal is not None:
            return None
        loop = asyncio.get_running_loop()
        try:  # in a thread: ssh-agent may ask somebody, and a passphrase may be asked for
            found = await loop.run_in_executor(None, next, self._keys, None)
        except UnreachableError as error:
            self.refusal = error
            return None
        if found is None:
            return None
        name, key = found
        self._last = f"{name} {key.fingerprint}"
        return _Pair(key)

    def password_auth_requested(self) -> str | None:
        """Return the password, once, where one was given."""
        self.authenticating = True
        self._refused()
        secret, self._password = self._password, None
        if secret is None:
            return None
        self._last = "the password"
        return secret.reveal()

    def finish(self) -> None:
        """Let go of ssh-agent."""
        self._keys.close()

    def denied(self, error: BaseException) -> UnreachableError:
        """Return the error for a login that nothing opened."""
        self._refused()
        if not self._tried and str(error) and not isinstance(error, asyncssh.PermissionDenied):
            self._tried.append(str(error))
        return denied(self._node, self._endpoint, self._tried)

    def _refused(self) -> None:
        if self._last is not None:
            self._tried.append(f"{self._last}: refused")
            self._last = None


class _Pair(asyncssh.SSHKeyPair):
    """A key that paramiko holds, or ssh-agent, with or without a certificate."""

    def __init__(self, key: paramiko.PKey) -> None:
        blob = key.public_blob
        kind, public = (blob.key_type, blob.key_blob) if blob else (key.get_name(), key.asbytes())
        base = kind.removesuffix(_CERTIFICATE)
        signatures = (b"rsa-sha2-512", b"rsa-sha2-256") if base == "ssh-rsa" else (base.encode(),)
        self._certified = kind != base
        hosts = (kind.encode(),) if self._certified else signatures
        agent = isinstance(key, paramiko.AgentKey)
        super().__init__(kind.encode(), base.encode(), signatures, hosts, public, None, use_executor=agent)
        self.sig_algorithm = base.encode()
        self._key = key

    @property
    def has_cert(self) -> bool:
        """Whether a certificate goes with it."""
        return self._certified

    def sign(self, data: bytes) -> bytes:
        """Return a signature in SSH's wire format."""
        made = self._key.sign_ssh_data(data, self.sig_algorithm.decode())
        return made.asbytes() if isinstance(made, paramiko.Message) else bytes(made)

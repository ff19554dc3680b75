"""A reader of encrypted files made from docs/vault-format.md alone: cryptography and a YAML parser, nothing of vosctl."""

import base64
import hmac
import json

import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt


def about(purpose, data=b""):
    return b"vosctl-vault 1 " + purpose + data


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(key, purpose, salt=None):
    return HKDF(SHA256(), 32, salt, about(purpose)).derive(key)


def unseal(key, data, told):
    return AESGCM(key).decrypt(data[:12], data[12:], told)


def walk(node, found, path=()):
    if isinstance(node, yaml.ScalarNode):
        found[path] = node
        return ["q" if node.style else "p", node.value]
    if isinstance(node, yaml.SequenceNode):
        return ["l", *(walk(item, found, (*path, number)) for number, item in enumerate(node.value))]
    pairs = sorted(((key.value, value) for key, value in node.value), key=lambda pair: pair[0])
    return [
        "m",
        *([k, walk(v, found, (*path, k))] for k, v in pairs if (*path, k) != ("vosctl_vault", "mac")),
    ]


def read(text, password):
    head, found = yaml.safe_load(text)["vosctl_vault"], {}
    tree = json.dumps(walk(yaml.compose(text), found), separators=(",", ":")).encode()
    who = next(each for each in head["recipients"] if "scrypt" in each)
    way, public, wrapped = (
        who["scrypt"],
        raw(who["public"].removeprefix("vosctl-pub-"))[:32],
        raw(who["wrapped"]),
    )
    stretched = Scrypt(raw(way["salt"]), 32, way["n"], way["r"], way["p"]).derive(password.encode())
    private = unseal(stretched, raw(way["sealed"]), about(b"passphrase\0", public))
    ephemeral = X25519PublicKey.from_public_bytes(wrapped[:32])
    shared = X25519PrivateKey.from_private_bytes(private).exchange(ephemeral)
    wrapping = derive(shared, b"wrap", wrapped[:32] + public)
    key = unseal(wrapping, wrapped[32:], about(b"data key\0", head["id"].encode()))
    assert hmac.compare_digest(hmac.digest(derive(key, b"mac"), tree, "sha256"), raw(head["mac"]))
    for path, node in found.items():
        if not node.style and node.value.startswith("vos1."):
            told = about(b"leaf\0", json.dumps([head["id"], *path], separators=(",", ":")).encode())
            yield (
                path,
                unseal(derive(key, b"leaf"), raw(node.value[5:])[6:], told).rstrip(b"\0")[:-1].decode(),
            )

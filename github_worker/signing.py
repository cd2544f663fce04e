"""Signing as git does with an SSH key: PROTOCOL.sshsig of OpenSSH, in the namespace `git`, over SHA-512.

`cryptography` reads keys and signs, and is imported with the first key; it writes no SSH signatures, whose
few fields are put together here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from binascii import Error as NotBase64
from typing import TYPE_CHECKING

from github_worker.redaction import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.ssh import SSHPrivateKeyTypes

_MAGIC = b"SSHSIG"
_KEY_MAGIC = b"openssh-key-v1\0"
_KINDS = {b"ssh-ed25519", b"ssh-rsa", *(b"ecdsa-sha2-nistp%d" % size for size in (256, 384, 521))}
_NAMESPACE, _RESERVED, _HASH = b"git", b"", b"sha512"
_WIDTH = 70  # of a line, as ssh-keygen writes it
_LONGEST = 16 * 1024  # characters of a key; one of RSA with 8,192 bits has half of them
_MOST_ROUNDS = 512  # of bcrypt for a passphrase; ssh-keygen's own are 16, and so many take seconds
_RSA_BYTES = range(256, 1024 + 1)  # of its modulus: a stranger's key must not take minutes to be checked
_KEY = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_SIGNATURE = re.compile(rb"-----BEGIN SSH SIGNATURE-----(.*?)-----END SSH SIGNATURE-----", re.DOTALL)


class Signer:
    """Signs with one key, whose `public` half signatures name.

    `secrets` are the texts that it came from, which are masked as long as it lives.
    """

    def __init__(self, key: SSHPrivateKeyTypes, *secrets: Secret | None) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

        self.secrets = tuple(filter(None, secrets))
        self._key = key
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.public = base64.b64decode(public.split()[1])

    def sign(self, content: bytes) -> str:
        """Return the armoured signature of what git signs: a commit or a tag as it is without one."""
        digest = hashlib.sha512(content).digest()
        signed = _MAGIC + b"".join(map(_pack, (_NAMESPACE, _RESERVED, _HASH, digest)))
        fields = (self.public, _NAMESPACE, _RESERVED, _HASH, _sign(self._key, signed))
        blob = _MAGIC + (1).to_bytes(4, "big") + b"".join(map(_pack, fields))
        text = base64.b64encode(blob).decode()
        lines = (text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH))
        return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----"))

    def has_signed(self, header: bytes) -> bool:
        """Tell whether the signature in a commit's header says that it is by this key."""
        found = _SIGNATURE.search(header)
        try:
            blob = base64.b64decode(b"".join(found[1].split())) if found else b""
        except NotBase64:
            return False
        return blob[len(_MAGIC) + 4 :].startswith(_pack(self.public))


def read_key(key: Secret, passphrase: Secret | None = None) -> Signer:
    """Read an OpenSSH private key; raise ValueError, which says what is wrong with it and nothing of it."""
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm  # noqa: PLC0415 (28 ms)
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key  # noqa: PLC0415

    public, is_encrypted = _check_key(key.reveal())
    if is_encrypted and passphrase is None:
        raise ValueError("is encrypted, and there is no passphrase")
    if passphrase is not None and not is_encrypted:
        raise ValueError("is not encrypted, and there is a passphrase")
    password = passphrase.reveal().encode() if passphrase else None
    try:
        signer = Signer(load_ssh_private_key(key.reveal().encode(), password), key, passphrase)
    except (ValueError, TypeError, InvalidTag, UnsupportedAlgorithm):
        why = "cannot be decrypted: its passphrase is another one, or it" if is_encrypted else ""
        raise ValueError(f"{why} is damaged".strip()) from None
    if signer.public != public:  # the library believes the secret half alone
        raise ValueError("is damaged")
    return signer


def _check_key(text: str) -> tuple[bytes, bool]:
    """Return a key's public half, and whether the other one is encrypted.

    Raises ValueError for what is no key, or would take for ever to read.
    """
    found = _KEY.search(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(
            "must be an OpenSSH private key, as ssh-keygen makes one, whole and with its line ends"
        )
    try:
        blob = base64.b64decode("".join(found[1].split()))
    except ValueError:
        raise ValueError("is damaged") from None
    _, rest = _take(blob.removeprefix(_KEY_MAGIC))
    kdf, rest = _take(rest)
    options, rest = _take(rest)
    public, _ = _take(rest[4:])  # after the number of keys
    kind, numbers = _take(public)
    if kind not in _KINDS:
        raise ValueError("must be a key of ed25519, ECDSA or RSA that is in the file, and in no device")
    if kind == b"ssh-rsa" and len(_take(_take(numbers)[1])[0].lstrip(b"\0")) not in _RSA_BYTES:
        raise ValueError("is an RSA key of less than 2,048 or more than 8,192 bits")
    if int.from_bytes(options[-4:], "big") > _MOST_ROUNDS:
        raise ValueError(f"is encrypted with more than {_MOST_ROUNDS} rounds, which take too long")
    return public, kdf != b"none"


def _sign(key: SSHPrivateKeyTypes, data: bytes) -> bytes:
    """Return an SSH signature (RFC 4253, 5656, 8332, 8709): its algorithm, and what that makes."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils  # noqa: PLC0415

    match key:
        case ed25519.Ed25519PrivateKey():
            return _pack(b"ssh-ed25519") + _pack(key.sign(data))
        case rsa.RSAPrivateKey():
            return _pack(b"rsa-sha2-512") + _pack(key.sign(data, padding.PKCS1v15(), hashes.SHA512()))
        case ec.EllipticCurvePrivateKey():
            size = key.curve.key_size
            made = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[size]
            numbers = utils.decode_dss_signature(key.sign(data, ec.ECDSA(made)))
            return _pack(b"ecdsa-sha2-nistp%d" % size) + _pack(b"".join(map(_pack_number, numbers)))
    raise NotImplementedError(type(key).__name__)


def _take(data: bytes) -> tuple[bytes, bytes]:
    """Return the first field of what `_pack` made, and what follows it."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]


def _pack(field: bytes) -> bytes:
    return len(field).to_bytes(4, "big") + field


def _pack_number(number: int) -> bytes:
    """Write a positive number as RFC 4251 has it: no sign bit, no zeros before it."""
    return _pack(number.to_bytes(number.bit_length() // 8 + 1, "big"))

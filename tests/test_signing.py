"""Signatures: ssh-keygen makes the keys, and is the judge of what is signed with them."""

from __future__ import annotations

import base64
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from github_worker.errors import ConfigurationError
from github_worker.redaction import Secret, scrub
from github_worker.settings import from_env
from github_worker.signing import Signer, read_key
from tests.support.signing import KINDS, Key, needs_ssh_keygen

pytestmark = needs_ssh_keygen
CONTENT = b"tree 0\nauthor A <a@example.com> 0 +0000\n\nSay something\n"
BEGIN, END = "-----BEGIN OPENSSH PRIVATE KEY-----\n", "-----END OPENSSH PRIVATE KEY-----\n"


def read(key: Key | str, passphrase: str = "") -> Signer:
    """Read a key."""
    text = key if isinstance(key, str) else key.text
    return read_key(Secret(text), Secret(passphrase) if passphrase else None)


def check(key: Key, signature: str, content: bytes) -> bool:
    """Ask ssh-keygen whether the key has signed the content for git."""
    file, allowed = key.file.with_suffix(".sig"), key.file.with_suffix(".allowed")
    file.write_text(signature)
    allowed.write_text(f"ada@example.com {key.public}\n")
    command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", "ada@example.com", "-f", str(allowed)]
    return (
        subprocess.run(
            [*command, "-s", str(file)], input=content, capture_output=True, check=False
        ).returncode
        == 0
    )


def armour(*fields: bytes | int) -> str:
    """Write what would be a private key, of these fields."""
    parts = [
        field.to_bytes(4, "big") if isinstance(field, int) else len(field).to_bytes(4, "big") + field
        for field in fields
    ]
    return BEGIN + base64.encodebytes(b"openssh-key-v1\0" + b"".join(parts)).decode() + END


@pytest.mark.parametrize("passphrase", ["", "correct horse"], ids=["plain", "encrypted"])
@pytest.mark.parametrize("kind", KINDS)
def test_openssh_verifies_what_is_signed(kind: str, passphrase: str, tmp_path: Path) -> None:
    """With each kind of key, encrypted or not; of other content it is no signature."""
    key = Key.make(tmp_path, kind, passphrase)
    signature = read(key, passphrase).sign(CONTENT)
    assert check(key, signature, CONTENT)
    assert not check(key, signature, CONTENT + b"\n")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_signature_is_opensshs_own(kind: str, tmp_path: Path) -> None:
    """Where nothing is random in one, every byte is the same; so RSA is over SHA-512."""
    key = Key.make(tmp_path, kind)
    assert read(key).sign(CONTENT) + "\n" == key.sign(CONTENT)


@pytest.mark.parametrize("kind", ["ecdsa-256", "ecdsa-521"])
def test_numbers_of_any_size_are_signed(kind: str, tmp_path: Path) -> None:
    """Those of ECDSA are random, some of them short or with their first bit set."""
    key = Key.make(tmp_path, kind)
    signer = read(key)
    assert all(check(key, signer.sign(CONTENT), CONTENT) for _ in range(40))


@pytest.mark.parametrize("cipher", ["aes256-ctr", "aes256-cbc", "aes256-gcm@openssh.com"])
def test_each_way_to_encrypt_a_key_is_read(cipher: str, tmp_path: Path) -> None:
    """The ciphers that OpenSSH has for keys."""
    key = Key.make(tmp_path, "ed25519", "correct horse", "-Z", cipher)
    assert check(key, read(key, "correct horse").sign(CONTENT), CONTENT)


def test_a_key_without_its_last_line_end_is_read(tmp_path: Path) -> None:
    """A variable or a secret's file has none, and some have those of another system."""
    key = Key.make(tmp_path)
    for text in (key.text.strip(), key.text.replace("\n", "\r\n"), f"\n\n{key.text}"):
        assert check(key, read(text).sign(CONTENT), CONTENT)


def test_a_signature_is_known_again(tmp_path: Path) -> None:
    """By the key in it, in a commit's header, where its lines begin with a space."""
    one, other = (read(Key.make(tmp_path)) for _ in range(2))
    header = one.sign(CONTENT).replace("\n", "\n ").encode()
    assert one.has_signed(header)
    assert not other.has_signed(header)
    pgp = b"-----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    odd = b"-----BEGIN SSH SIGNATURE----- x -----END SSH SIGNATURE-----"
    assert not any(one.has_signed(text) for text in (b"", pgp, odd))


def test_a_passphrase_that_is_wrong_missing_or_too_much(tmp_path: Path) -> None:
    """Each is said as what it is."""
    encrypted, plain = Key.make(tmp_path, "ed25519", "correct horse"), Key.make(tmp_path)
    with pytest.raises(ValueError, match="is encrypted, and there is no passphrase"):
        read(encrypted)
    with pytest.raises(ValueError, match="cannot be decrypted: its passphrase is another one"):
        read(encrypted, "another one")
    with pytest.raises(ValueError, match="is not encrypted, and there is a passphrase"):
        read(plain, "correct horse")


NO_KEYS = {
    "nothing": "",
    "words": "a key",
    "public": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHH8F5gV",
    "pem": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n",
    "empty": BEGIN + END,
    "no base64": f"{BEGIN}A\n{END}",
    "not ascii": f"{BEGIN}ä\n{END}",
    "long": BEGIN + "A" * 20_000 + END,
    "cut": armour(b"none", b"none", b""),
    "of no kind": armour(b"none", b"none", b"", 1, b"\0\0\0\5ssh-x", b""),
    "dsa": armour(b"none", b"none", b"", 1, b"\0\0\0\7ssh-dss", b""),
    "of a device": armour(b"none", b"none", b"", 1, b"\0\0\0\32sk-ssh-ed25519@openssh.com", b""),
    "ed25519 of nothing": armour(b"none", b"none", b"", 1, b"\0\0\0\13ssh-ed25519", b""),
    "rsa of nothing": armour(b"none", b"none", b"", 1, b"\0\0\0\7ssh-rsa", b""),
    "rsa of a million bits": armour(
        b"none", b"none", b"", 1, b"\0\0\0\7ssh-rsa\0\0\0\1\3\0\0\x20\0" + b"\xff" * 8192, b""
    ),
    "rounds without end": armour(
        b"aes256-ctr",
        b"bcrypt",
        b"\0\0\0\1x\xff\xff\xff\xff",
        1,
        b"\0\0\0\13ssh-ed25519\0\0\0\40" + bytes(32),
        b"",
    ),
}


@pytest.mark.parametrize("passphrase", ["", "correct horse"], ids=["alone", "with a passphrase"])
@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_key_is_refused_in_words(text: str, passphrase: str) -> None:
    """At once, and the words have nothing of it."""
    with pytest.raises(ValueError, match=r"^(must|is|cannot) ") as refused:
        read(text, passphrase)
    assert refused.value.__cause__ is None
    assert not {word for word in text.split() if len(word) > 6} & set(str(refused.value).split())


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    """No forge takes it any more."""
    with pytest.raises(ValueError, match="RSA key of less than 2,048"):
        read(Key.make(tmp_path, "rsa", "", "-b", "1024"))


def test_a_key_that_is_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    """With any of its bytes another one it is a sentence, or still the same key."""
    key = Key.make(tmp_path)
    blob = base64.b64decode("".join(key.text.splitlines()[1:-1]))
    public = read(key).sign(CONTENT)
    for at in range(len(blob)):
        damaged = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        with suppress(ValueError):
            text = BEGIN + base64.encodebytes(damaged).decode() + END
            assert read(text).sign(CONTENT) == public, at


def test_a_setting_is_read_with_the_passphrase_of_another(tmp_path: Path) -> None:
    """From files, as secrets come, or as they are; without a key there is none to sign."""
    key, words = Key.make(tmp_path, "ed25519", "correct horse"), tmp_path / "words"
    words.write_text("correct horse\n")
    files = {"GIT_SIGNING_KEY_FILE": str(key.file), "GIT_SIGNING_PASSPHRASE_FILE": str(words)}
    for env in (files, {"GIT_SIGNING_KEY": key.text, "GIT_SIGNING_PASSPHRASE": "correct horse"}):
        signer = from_env(env).signer
        assert signer is not None
        assert check(key, signer.sign(CONTENT), CONTENT)
        assert key.text.splitlines()[1] not in scrub(f"{key.text}{signer!r}")
    assert from_env({}).signer is None


def test_a_setting_that_cannot_sign_stops_the_start(tmp_path: Path) -> None:
    """In words that name it."""
    encrypted = Key.make(tmp_path, "ed25519", "correct horse").text
    wrong = [
        ({"GIT_SIGNING_KEY": "a key"}, "GIT_SIGNING_KEY must be an OpenSSH private key"),
        ({"GIT_SIGNING_KEY": encrypted}, "GIT_SIGNING_KEY is encrypted, and there is no passphrase"),
        (
            {"GIT_SIGNING_KEY": encrypted, "GIT_SIGNING_PASSPHRASE": "another"},
            "GIT_SIGNING_KEY cannot be decrypted: its passphrase is another one",
        ),
        ({"GIT_SIGNING_PASSPHRASE": "x"}, "GIT_SIGNING_PASSPHRASE is set, but no GIT_SIGNING_KEY"),
        ({"GIT_SIGNING_KEY_FILE": str(tmp_path / "none")}, "GIT_SIGNING_KEY_FILE cannot be read"),
    ]
    for env, words in wrong:
        with pytest.raises(ConfigurationError, match=f"^{words}"):
            from_env(env)


def test_the_library_of_keys_is_imported_with_the_first_one() -> None:
    """Most workers have none."""
    code = "import sys, github_worker.operations, github_worker.settings as s; s.from_env({})"
    check = "; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code + check], check=False).returncode == 0

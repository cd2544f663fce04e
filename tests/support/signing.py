"""SSH keys made by ssh-keygen, and git told whose they are."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.repositories import GIT_ENV, git

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None,
    reason="git verifies an SSH signature by ssh-keygen, which is not installed (Debian: openssh-client)",
)
KINDS = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
_LEAST_ROUNDS = ("-a", "1")  # the tests' keys guard nothing


@dataclass(frozen=True)
class Key:
    """A key in a file, its public half beside it."""

    file: Path

    @classmethod
    def make(cls, folder: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Key:
        """Let ssh-keygen make one."""
        file = folder / f"key-{kind}-{len(list(folder.iterdir()))}"
        command = ["ssh-keygen", "-q", *KINDS.get(kind, ("-t", kind)), *_LEAST_ROUNDS, *more]
        subprocess.run([*command, "-N", passphrase, "-C", "", "-f", file], check=True, capture_output=True)
        return cls(file)

    @property
    def text(self) -> str:
        """The private key."""
        return self.file.read_text()

    @property
    def public(self) -> str:
        """The public key."""
        return self.file.with_name(f"{self.file.name}.pub").read_text().strip()

    def sign(self, content: bytes) -> str:
        """Let ssh-keygen sign as git has it do."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(self.file)]
        return subprocess.run(command, input=content, check=True, capture_output=True).stdout.decode()


def trusting(folder: Path, email: str, *keys: Key) -> dict[str, str]:
    """Return an environment in which git takes what the keys sign for the work of whoever has the address."""
    allowed = folder / "allowed_signers"
    allowed.write_text("".join(f'{email} namespaces="git" {key.public}\n' for key in keys))
    words = {"gpg.format": "ssh", "gpg.ssh.allowedSignersFile": str(allowed), "safe.directory": "*"}
    pairs = {
        f"GIT_CONFIG_{word}_{number}": text
        for number, pair in enumerate(words.items())
        for word, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return GIT_ENV | pairs | {"GIT_CONFIG_COUNT": str(len(words))}


def verify(repository: Path, name: str, env: dict[str, str], what: str = "commit") -> str:
    """Let git verify a commit or a tag, and return what it says; raise CalledProcessError if it does not."""
    command = ["git", "--git-dir", str(repository), f"verify-{what}", name]
    done = subprocess.run(command, capture_output=True, check=True, env=env, text=True)
    return done.stderr


def read(repository: Path, name: str) -> bytes:
    """Return an object as it is."""
    kind = git("--git-dir", repository, "cat-file", "-t", name).decode().strip()
    return git("--git-dir", repository, "cat-file", kind, name)

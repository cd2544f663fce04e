"""What an app needs to be set up, and the sentence for each thing that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from github_worker.errors import ConfigurationError
from github_worker.sandbox import rules_for
from github_worker.settings import from_env
from tests.support.github_app import private_key

APP = {
    "GITHUB_APP_ID": "4711",
    "GITHUB_APP_PRIVATE_KEY": private_key(),
    "GITHUB_APP_REPOSITORIES": "octo/*",
    "GITHUB_WORKER_TOKEN": "caller-token-0123456789",
}
_EC = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)
WRONG = {
    "no id": ({"GITHUB_APP_ID": ""}, "GITHUB_APP_PRIVATE_KEY is set, but GITHUB_APP_ID is not"),
    "no key": ({"GITHUB_APP_PRIVATE_KEY": ""}, "GITHUB_APP_ID is set, but GITHUB_APP_PRIVATE_KEY is not"),
    "no repositories": (
        {"GITHUB_APP_REPOSITORIES": ""},
        "GITHUB_APP_ID is set, but GITHUB_APP_REPOSITORIES is not",
    ),
    "an odd id": ({"GITHUB_APP_ID": "47 11"}, "GITHUB_APP_ID must be the app's number or its client id"),
    "no PEM": ({"GITHUB_APP_PRIVATE_KEY": "hunter22"}, "GITHUB_APP_PRIVATE_KEY must be the private key"),
    "no RSA": ({"GITHUB_APP_PRIVATE_KEY": _EC}, "GITHUB_APP_PRIVATE_KEY must be the private key"),
    "no pattern": ({"GITHUB_APP_REPOSITORIES": "octo"}, "GITHUB_APP_REPOSITORIES must be owner/name"),
    "an empty pattern": ({"GITHUB_APP_REPOSITORIES": " , "}, "GITHUB_APP_REPOSITORIES must name"),
    "nobody's service": ({"GITHUB_WORKER_TOKEN": ""}, "GITHUB_WORKER_TOKEN is not: whoever reaches the port"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_stops_the_start(change: dict[str, str], words: str) -> None:
    """The sentence names the variable, and says nothing of the key."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        from_env(APP | change)
    assert "hunter22" not in str(caught.value)


def test_a_service_of_this_machine_alone_needs_no_bearer_token() -> None:
    """Whoever reaches it may read its key as well."""
    assert from_env(APP | {"GITHUB_WORKER_TOKEN": "", "HOST": "::1"}).github_app is not None


def test_a_key_may_be_on_one_line() -> None:
    """As an environment of a container often has it."""
    app = from_env(APP | {"GITHUB_APP_PRIVATE_KEY": private_key().replace("\n", "\\n")}).github_app
    assert app is not None
    assert app.private_key.reveal().strip() == private_key().strip()


def test_the_keys_file_is_read_at_the_start_and_not_after(tmp_path: Path) -> None:
    """A job's process may not open it, whatever it is made to do."""
    file = tmp_path / "secrets" / "app.pem"
    file.parent.mkdir()
    file.write_text(private_key())
    env = {name: text for name, text in APP.items() if name != "GITHUB_APP_PRIVATE_KEY"}
    settings = from_env(env | {"GITHUB_APP_PRIVATE_KEY_FILE": str(file)})
    file.unlink()
    assert settings.github_app is not None
    rules = rules_for(settings, tmp_path / "scratch")
    open_to_it = {*map(str, rules.read), *map(str, rules.change)}
    assert not {str(file), *map(str, file.parents)} & open_to_it - {"/tmp"}


def test_the_key_does_not_show_itself() -> None:
    """Settings are shown in a traceback, and in no other way."""
    settings = from_env(APP)
    line = private_key().splitlines()[3]
    assert line not in repr(settings)
    assert line not in str(settings.github_app)

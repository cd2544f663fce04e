"""Secrets that do not show, and text that is rid of them."""

from __future__ import annotations

import base64
import copy
import gc
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from github_worker.redaction import MASK, Secret, Tail, hide, scrub, scrub_all, unhide
from github_worker.scratch import Scratch

VALUE = "s3cret/value+with=odd&chars"


@pytest.fixture
def secret() -> Secret:
    """Return a secret that is alive for a test."""
    return Secret(VALUE)


def test_a_secret_shows_itself_in_one_way_alone(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    """Neither formatting nor logging has it; `reveal` has."""
    logging.getLogger("test").warning("%s %r", secret, [secret])
    shown = f"{secret} {secret!r} {[secret]} {caplog.text} {copy.copy(secret)}"
    assert VALUE not in shown
    assert MASK in shown
    assert secret.reveal() == VALUE


def test_a_secret_cannot_be_looked_into(secret: Secret) -> None:
    """What prints an object's attributes finds none, and an empty one is false."""
    assert not hasattr(secret, "__dict__")
    assert secret
    assert not Secret("")


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(f"x-access-token:{VALUE}".encode()).decode(),
    ],
    ids=["plain", "quoted", "base64", "basic"],
)
def test_every_form_of_a_secret_is_masked(secret: Secret, form: str) -> None:
    """As often as it is there."""
    assert scrub(f"<{form}> and {form}") == f"<{MASK}> and {MASK}"


def test_each_line_of_a_secret_is_masked() -> None:
    """A key of many lines comes back one line at a time."""
    key = Secret("-----BEGIN KEY-----\nfirst-line\nsecond-line\nab\n")
    assert scrub("got second-line, ab") == f"got {MASK}, ab"
    assert key


def test_a_longer_secret_is_masked_before_what_it_contains() -> None:
    """No end of it is left over."""
    secrets = [Secret("token-1"), Secret("token-1-and-more")]
    assert scrub("token-1-and-more") == MASK
    assert len(secrets) == 2


def test_a_short_secret_masks_no_innocent_words() -> None:
    """Five characters are found by chance."""
    secrets = [Secret("token"), Secret("tokens")]
    assert scrub("the token") == "the token"
    assert scrub("the tokens") == f"the {MASK}"
    assert all(secrets)


def test_a_secret_is_forgotten_with_its_last_holder() -> None:
    """What nobody holds any more is not kept for masking."""
    secret = Secret("held-for-a-while")
    assert scrub("held-for-a-while") == MASK
    del secret
    gc.collect()
    assert scrub("held-for-a-while") == "held-for-a-while"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("https://user:pass@host/x", f"https://{MASK}@host/x"),
        ("to http://token@host:80/ and ssh://git@host", f"to http://{MASK}@host:80/ and ssh://{MASK}@host"),
        ("https://host/a@b", "https://host/a@b"),
        ("mail me@example.com", "mail me@example.com"),
    ],
)
def test_user_info_of_urls_is_masked(text: str, scrubbed: str) -> None:
    """Whoever's it is."""
    assert scrub(text) == scrubbed


def test_every_text_of_a_value_is_scrubbed(secret: Secret) -> None:
    """However deep it is; names of fields, numbers and absent values stay."""
    value = {"branch": VALUE, "files": [VALUE, {"path": (f"a/{VALUE}",)}], "count": 7, "sha": None}
    assert secret
    assert scrub_all(value) == {
        "branch": MASK,
        "files": [MASK, {"path": [f"a/{MASK}"]}],
        "count": 7,
        "sha": None,
    }


@pytest.mark.parametrize("form", [VALUE, base64.b64encode(f"x-access-token:{VALUE}".encode()).decode()])
def test_no_end_of_a_secret_is_left_where_a_text_is_cut(secret: Secret, form: str) -> None:
    """Wherever the cut goes through it, with others before and behind that are shorter when masked."""
    assert secret
    for more in range(200):
        tail = Tail(100)
        tail.add(b"-" * 5_000)  # more than any secret has, so that the text is cut
        for byte in f"{form} {form}é{'-' * more}{form}{'+' * 60}".encode():
            tail.add(bytes([byte]))
        shown = tail.scrub()
        assert not [at for at in range(len(form) - 3) if form[at : at + 4] in shown]
        assert shown.endswith(f"{MASK}{'+' * 60}")
        assert len(shown) < 100 + len(MASK)  # which may be longer than what is left of a secret


def test_a_text_that_is_not_cut_is_shown_whole(secret: Secret) -> None:
    """The overlap is for what is cut."""
    tail = Tail(100)
    tail.add(f"{'-' * 70}{VALUE}\0".encode())
    assert secret
    assert tail.scrub() == f"{'-' * 70}{MASK}\0"


def test_what_is_scrubbed_can_be_encoded() -> None:
    """The bytes of a name that is not UTF-8 are escaped."""
    assert scrub("caf\udce9") == "caf\\udce9"


def test_a_hidden_folder_is_not_told(tmp_path: Path) -> None:
    """Paths begin in the innermost hidden folder; what is no longer there is no longer hidden."""
    tree = tmp_path / "job" / "tree"
    hide(tmp_path / "job")
    hide(tree)
    assert scrub(f"no '{tree}/a b/c' in {tree}, nor {tmp_path}/job/x") == "no 'a b/c' in ., nor x"
    unhide(tmp_path / "job")
    assert scrub(f"{tree}/a {tmp_path}/job") == f"{tree}/a {tmp_path}/job"


def test_a_scratch_folder_is_hidden_while_it_is_there(tmp_path: Path) -> None:
    """Its own path and that of each folder made in it."""
    scratch = Scratch(tmp_path)
    folder = scratch.folder()
    assert scrub(f"'{folder}/x' '{folder.parent}/y'") == "'x' 'y'"
    scratch.remove()
    assert scrub(f"{folder}/x") == f"{folder}/x"

"""Credentials in a text: found by line and kind, masked for the model."""

from __future__ import annotations

import time

import pytest

from github_worker.credentials import find, mask

# put together here, so that no scanner takes this file for a leak
WELL_KNOWN = [
    ("GitHub token", "ghp_" + "a1B2" * 9),
    ("GitHub token", "gho_" + "a1B2" * 9),
    ("GitHub token", "github_pat_" + "a1B2" * 5 + "cd_" + "a1B2" * 14),
    ("Anthropic key", "sk-ant-" + "api03-" + "a1B2" * 20),
    ("Anthropic key", "sk-ant-" + "oat01-" + "a1B2" * 20),
    ("AWS access key", "AKIA" + "A1B2" * 4),
    ("AWS secret key", "aws_secret_access_key = " + "a1B/" * 10),
    ("Google API key", "AIza" + "a1B2_" * 7),
    ("Slack token", "xoxb-" + "123456789012-" + "a1B2" * 6),
    ("Slack webhook", "https://hooks.slack.com/" + "services/T0000/B0000/" + "a1B2" * 6),
    ("private key", "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"),
    ("private key", "-----BEGIN PRIVATE " + "KEY-----\nMIIE"),
    ("private key", "-----BEGIN OPENSSH PRIVATE " + "KEY-----\nMIIE"),
]


@pytest.mark.parametrize(("kind", "text"), WELL_KNOWN)
def test_a_well_known_credential_is_found_and_masked(kind: str, text: str) -> None:
    """Its line and its kind are told, and nothing of it is left."""
    whole = f"first\nkey: '{text}'\nlast\n"

    ((at, found, value),) = find(whole)
    assert (found, value) == (kind, whole[at : at + len(value)])
    assert value in text or text in value
    masked = mask(whole)
    assert "a1B" not in masked
    assert "A1B" not in masked
    assert "MIIE" not in masked
    assert masked.startswith("first\n")


def test_all_of_them_are_found() -> None:
    """A text may hold many, of many kinds."""
    some = [*WELL_KNOWN[:3], WELL_KNOWN[5]]

    assert [(kind, value) for _, kind, value in find("\n".join(text for _, text in some))] == some


@pytest.mark.parametrize(
    "text",
    [
        "ghp_short",
        "a = 'ghp_" + "x" * 10 + "'",
        "sk-ant-api",
        "XAKIA" + "A" * 16,
        "MAKIA" + "A" * 20,
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "the PRIVATE KEY of ghp_, AIza and xoxb-",
        "password = 'hunter2secret'",
    ],
)
def test_what_only_resembles_a_credential_is_not_found(text: str) -> None:
    """A commit is not refused for a prefix, a public key or a variable's name."""
    assert list(find(text)) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password = 'correct horse'", "password = '***'"),
        ('"apiKey": "abcdef"', '"apiKey": "***"'),
        ("DB_PASSWORD=hunter", "DB_PASSWORD=***"),
        ("https://x/?token=abcdef&b=1", "https://x/?token=***&b=1"),
        ("client_secret: abc123def", "client_secret: ***"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("+" + "QUJD" * 16 + "\n", "+***\n"),
        ("npm_" + "a1B2" * 9, "***"),
        ("eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "c2lnbmF0dXJl", "***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    """The model needs no passwords to describe a change; the names of variables stay."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    ["def token(self) -> str:", "fix token: refresh it", "secret: Secret | None", "auth-token: rotate keys"],
)
def test_ordinary_words_stay(text: str) -> None:
    """Code and prose about secrets are no secrets."""
    assert mask(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "token" * 60_000, "ghp_ " * 60_000, "\"'=: " * 60_000, "KEY-----" * 40_000]
)
def test_a_text_of_any_kind_takes_little_time(text: str) -> None:
    """No pattern is slow on a text that is made for it."""
    began = time.process_time()

    list(find(text))
    mask(text)

    assert time.process_time() - began < 2

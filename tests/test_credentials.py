"""Credentials in a text: found by place and kind, masked for the model."""

from __future__ import annotations

import base64
import json
import time

import pytest

from github_worker.credentials import Scanner, mask
from github_worker.redaction import Secret
from tests.support.credentials import examples, planted

OWN = Secret("own-token/of+this=request")
PLANTED = planted(seed=12)


@pytest.mark.parametrize(("kind", "text"), PLANTED)
def test_a_well_known_credential_is_found_and_masked(kind: str, text: bytes) -> None:
    """Its place and its kind are told, and the model sees nothing of it."""
    (hit,) = Scanner().scan(text)
    assert (hit.kind, text[hit.at : hit.at + len(hit.value)]) == (kind, hit.value)
    assert hit.value not in Scanner().mask(text)
    assert kind == "PKCS#12 file" or hit.value.decode() not in mask(text.decode())


@pytest.mark.parametrize("before", ["key: '", '{"a": "', "x=", 'print("\\n', "?a%3D", "https://user:"])
def test_a_credential_may_follow_whatever_ends_a_word(before: str) -> None:
    """A quote, an escape, a URL's escape."""
    kind, text = next((kind, text) for kind, text in PLANTED if kind == "GitLab token")
    assert [hit.kind for hit in Scanner().scan(before.encode() + text)] == [kind]


def test_all_of_them_are_found() -> None:
    """A text may hold many, of many kinds, and files are read to their end, whatever they hold."""
    whole = bytearray(5 * 1024 * 1024)
    expected = []
    for number, (kind, text) in enumerate(found for found in PLANTED if found[0] != "PKCS#12 file"):
        at = 100_000 + number * 50_000
        whole[at : at + len(text)] = text
        expected.append(kind)
    assert [hit.kind for hit in Scanner().scan(bytes(whole))] == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_read(encoding: str) -> None:
    """As PowerShell writes it; the value is the same as in UTF-8, so that it is known for the same."""
    (github,) = Scanner().scan(PLANTED[0][1])
    text = f"Größe 1\n€ {github.value.decode()}\nend {OWN.reveal()}\n".encode(encoding)
    hits = list(Scanner([OWN]).scan(text))
    assert [hit.value for hit in hits] == [github.value, OWN.reveal().encode()]
    assert text[hits[0].at :].startswith(b"g")


@pytest.mark.parametrize("user", ["", "x-access-token", "me", "git", "someone@example.com"])
@pytest.mark.parametrize("rest", ["", ":", ":x-oauth-basic", "\n"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_requests_own_secret_is_found_within_base64(user: str, rest: str, encode: object) -> None:
    """Whatever stands before and after it, as HTTP Basic has it."""
    assert callable(encode)
    text = b"first\nauth " + encode(f"{user}:{OWN.reveal()}{rest}".encode()) + b"\n"
    (hit,) = Scanner([OWN]).scan(text)
    assert hit.kind == "a credential of this request"
    assert hit.value in text
    assert hit.value not in Scanner([OWN]).mask(text)


@pytest.mark.parametrize("text", [OWN.reveal().encode().hex(), OWN.reveal().encode().hex().upper()])
def test_a_requests_own_secret_is_found_in_hexadecimal(text: str) -> None:
    """In letters of either case."""
    assert [hit.kind for hit in Scanner([OWN]).scan(text.encode())] == ["a credential of this request"]


def test_a_requests_own_secret_is_told_as_its_own() -> None:
    """Even if it is of a kind that is known too."""
    text = PLANTED[0][1]
    hits = list(Scanner([Secret(text.decode())]).scan(b"x " + text + b" " + PLANTED[1][1]))
    assert [hit.kind for hit in hits] == ["a credential of this request", PLANTED[1][0]]


@pytest.mark.parametrize("text", examples())
def test_what_documents_show_is_no_credential(text: str) -> None:
    """A commit is not refused for an example, a placeholder or what only resembles one."""
    assert list(Scanner().scan(text.encode())) == []


def test_a_persons_web_token_is_no_service_accounts() -> None:
    """It ends with its session, and every test suite has one."""

    def token(claims: dict[str, object]) -> bytes:
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).strip(b"=") for part in parts]
        return b".".join((*encoded, b"c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"))

    service = token({"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:a:b"})
    assert [hit.kind for hit in Scanner().scan(service)] == ["service account's token"]
    assert list(Scanner().scan(token({"sub": "1234567890", "name": "John Doe", "iat": 1516239022}))) == []
    assert (
        list(Scanner().scan(token({"iss": "supabase-demo", "role": "service_role", "exp": 1983812996}))) == []
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password = 'correct horse'", "password = '***'"),
        ('"apiKey": "abcdef"', '"apiKey": "***"'),
        ("DB_PASSWORD=hunter", "DB_PASSWORD=***"),
        ("DB_PASS=hunter2", "DB_PASS=***"),
        ("DB_PASS=Hunter two", "DB_PASS=*** two"),
        ("-  db_pass: hunter22", "-  db_pass: ***"),
        ("+MYSQL_PWD='hunter'", "+MYSQL_PWD='***'"),
        ("REDIS_AUTH = hunter", "REDIS_AUTH = ***"),
        ("SMTP_PW=hunter", "SMTP_PW=***"),
        ("APP_KEY=base64:aHVudGVy", "APP_KEY=***"),
        ("dbPass = 'hunter'", "dbPass = '***'"),
        ('"pass": "hunter"', '"pass": "***"'),
        ("curl --pass=hunter2", "curl --pass=***"),
        ("https://x/?token=abcdef&b=1", "https://x/?token=***&b=1"),
        ("client_secret: abc123def", "client_secret: ***"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("+" + "QUJD" * 16 + "\n", "+***\n"),
        ("npm_" + "a1B2" * 9, "***"),
        ("eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "c2lnbmF0dXJl", "***"),
        ("-----BEGIN RSA PRIVATE " + "KEY-----\nMIIE\nab\n-----END RSA PRIVATE KEY-----\nlast", "***\nlast"),
        ("+-----BEGIN PRIVATE " + "KEY-----\n+MIIE\n+abcd", "+***"),
        ("Größe \udce9 npm_" + "a1B2" * 9, "Größe \udce9 ***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    """The model needs no passwords to describe a change; the names of variables stay."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        *(
            "def token(self) -> str:",
            "fix token: refresh it",
            "secret: Secret | None",
            "auth-token: rotate keys",
        ),
        *(
            "    pass\n",
            "bypass = compute_all()",
            "class Pass: pass",
            "KEY = 1",
            "compass='north'",
            "pass: the end",
        ),
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    """Code and prose about secrets are no secrets."""
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 300_000, "token" * 60_000, "ghp_ " * 60_000, "\"'=: " * 60_000, "KEY-----" * 40_000),
        *("PuTTY-User-Key-File-2: ssh-rsa\n" * 10_000, "-----BEGIN PRIVATE KEY-----\n" * 10_000),
        *("-----BEGIN PRIVATE KEY-----\nMIIE\n" * 10_000, " eyJaaaaaaaa.eyJ" * 20_000, "sk-proj-a" * 30_000),
    ],
)
def test_a_text_of_any_kind_takes_little_time(text: str) -> None:
    """No pattern is slow on a text that is made for it."""
    began = time.process_time()

    list(Scanner([OWN]).scan(text.encode()))
    list(Scanner([OWN]).scan(text.encode("utf-16")))
    mask(text)

    assert time.process_time() - began < 2

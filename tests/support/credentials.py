"""Credentials as their issuers make them, from a seed: no scanner takes this repository for a leak."""

from __future__ import annotations

import base64
import json
import string
from random import Random

_ALNUM = string.ascii_letters + string.digits
_URL = _ALNUM + "-_"
_B64 = _ALNUM + "+/"
_HEX = string.digits + "abcdef"
_UPPER = string.ascii_uppercase + string.digits
# Kind, and what its tokens are made of: text as it is, or an alphabet and how many of it.
_SHAPES: tuple[tuple[str, *tuple[str | tuple[str, int], ...]], ...] = (
    *(("GitHub token", prefix, (_ALNUM, 36)) for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("GitHub token", "github_pat_", (_ALNUM, 22), "_", (_ALNUM, 59)),
    ("GitLab token", "glpat-", (_URL, 20)),
    ("GitLab token", "glpat-", (_URL, 27), ".01.1a", (_HEX, 7)),
    ("GitLab token", "gldt-", (_URL, 20)),
    ("GitLab token", "glrt-", (_URL, 20)),
    ("GitLab token", "glwt-", (_URL, 20)),
    ("Anthropic key", "sk-ant-api03-", (_URL, 93), "AA"),
    ("Anthropic key", "sk-ant-oat01-", (_URL, 93), "AA"),
    ("OpenAI key", "sk-", (_ALNUM, 20), "T3BlbkFJ", (_ALNUM, 20)),
    ("OpenAI key", "sk-proj-", (_URL, 74), "T3BlbkFJ", (_URL, 74)),
    ("AWS access key", "AKIA", (string.ascii_uppercase + "234567", 16)),
    ("AWS access key", "ASIA", (string.ascii_uppercase + "234567", 16)),
    ("AWS secret key", "aws_secret_access_key = ", (_B64, 40)),
    ("AWS secret key", '"SecretAccessKey": "', (_B64, 40), '"'),
    ("Google API key", "AIza", (_URL, 35)),
    ("Google OAuth secret", "GOCSPX-", (_URL, 28)),
    ("Google OAuth token", "ya29.a0", (_URL, 160)),
    ("Azure key", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=", (_B64, 86), "=="),
    ("Azure key", "key: ", (_B64, 76), "+ASt", (_B64, 6), "=="),
    ("Azure client secret", (_ALNUM, 3), "8Q~", (_ALNUM + "_~.-", 33), (_ALNUM, 1)),
    ("Slack token", "xoxb-", (string.digits, 12), "-", (string.digits, 13), "-", (_ALNUM, 24)),
    ("Slack token", "xoxp-", (string.digits, 12), "-", (string.digits, 12), "-", (_HEX, 32)),
    ("Slack token", "xapp-1-A", (_UPPER, 10), "-", (string.digits, 13), "-", (_HEX, 64)),
    (
        "Slack webhook",
        "https://hooks.slack.com/",
        "services/T0",
        (_UPPER, 9),
        "/B0",
        (_UPPER, 9),
        "/",
        (_ALNUM, 24),
    ),
    ("Stripe live key", "sk_live_", (_ALNUM, 24)),
    ("Stripe live key", "rk_live_", (_ALNUM, 24)),
    ("npm token", "npm_", (_ALNUM, 36)),
    ("PyPI token", "pypi-AgEIcHlwaS5vcmc", (_URL, 150)),
    ("Hugging Face token", "hf_", (string.ascii_letters, 34)),
    ("SendGrid key", "SG.", (_URL, 22), ".", (_URL, 42), (_ALNUM, 1)),
    ("DigitalOcean token", "dop_v1_", (_HEX, 64)),
    ("Docker token", "dckr_pat_", (_URL, 27)),
    ("Databricks token", "dapi", (_HEX, 32)),
    ("Shopify token", "shpat_", (_HEX, 32)),
    ("Telegram token", (string.digits, 10), ":AA", (_URL, 32), (_ALNUM, 1)),
    ("Discord webhook", "https://discord.com/api/webhooks/", (string.digits, 19), "/", (_URL, 68)),
    ("Groq key", "gsk_", (_ALNUM, 52)),
    ("RubyGems key", "rubygems_", (_HEX, 48)),
)


def planted(seed: int) -> list[tuple[str, bytes]]:
    """Return 52 credentials, each with its kind."""
    random = Random(seed)  # noqa: S311 (none of them is a secret)
    made = [(kind, _join(random, *parts)) for kind, *parts in _SHAPES]
    made += [("private key", _pem(random, name)) for name in ("RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED ")]
    made.append(("private key", _pem(random, "").replace(b"\n", b"\\n")))
    made.append(("private key", _pgp(random)))
    made.append(("private key", _putty(random)))
    made.append(("PKCS#12 file", _pkcs12(random)))
    made.append(("service account's token", _service_token(random)))
    return made


def examples() -> list[str]:
    """Return what documents and programs show and no issuer has made."""
    return [
        "AKIAIOSFODNN7" + "EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
        "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        "ghp_" + "x" * 36,
        "ghp_" + string.ascii_lowercase + string.digits,
        "sk-ant-api03-" + "X" * 40,
        "glpat-" + "*" * 20,
        "https://hooks.slack.com/services/" + "T00000000/B00000000/" + "X" * 24,
        "xoxb-your-bot-token-goes-here",
        "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_short",
        "a = 'ghp_" + "x" * 10 + "'",
        "ghs_is_the_prefix_of_an_installations_token",
        "sk-ant-api",
        "disk-" + "A1b2" * 12,
        "XAKIA" + "A" * 16,
        "MAKIA" + "A" * 20,
        "npm_config_registry_of_the_whole_organisation",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIE",
        "if line == '-----BEGIN PRIVATE KEY-----':\n    return True",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\\n<your key>\\n-----END RSA PRIVATE KEY-----\\n",
        "the PRIVATE KEY of ghp_, AIza and xoxb-",
        "password = 'hunter2secret'",
        "PuTTY-User-Key-File-2: is how such a file begins",
    ]


def _join(random: Random, *parts: str | tuple[str, int]) -> bytes:
    return "".join(
        part if isinstance(part, str) else "".join(random.choices(part[0], k=part[1])) for part in parts
    ).encode()


def _lines(random: Random, count: int, width: int = 64) -> str:
    return "\n".join(_join(random, (_B64, width)).decode() for _ in range(count))


def _pem(random: Random, name: str) -> bytes:
    edge = f"{name}PRIVATE " + "KEY-----"
    return f"-----BEGIN {edge}\n{_lines(random, 12)}\nAbcd==\n-----END {edge}\n".encode()


def _pgp(random: Random) -> bytes:
    edge = "PGP PRIVATE " + "KEY BLOCK-----"
    return f"-----BEGIN {edge}\nVersion: GnuPG v2\n\n{_lines(random, 9)}\n=aB1c\n-----END {edge}\n".encode()


def _putty(random: Random) -> bytes:
    head = "PuTTY-User-Key-" + "File-3: ssh-rsa\r\nEncryption: none\r\nComment: me\r\nPublic-Lines: 6\r\n"
    public, private = (_lines(random, count).replace("\n", "\r\n") for count in (6, 14))
    return f"{head}{public}\r\nPrivate-Lines: 14\r\n{private}\r\nPrivate-MAC: 0a1b\r\n".encode()


def _pkcs12(random: Random) -> bytes:
    identifier = bytes.fromhex("06092a864886f70d010701a0")
    return bytes.fromhex("308209c1020103308209870609")[:-2] + identifier + random.randbytes(2400)


def _service_token(random: Random) -> bytes:
    claims = {"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:ci"}
    parts = ({"alg": "RS256", "kid": ""}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).strip(b"=") for part in parts]
    return b".".join((*encoded, _join(random, (_URL, 342))))

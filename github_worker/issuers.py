"""The kinds of credentials whose shapes their issuers publish, each as a pattern of bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from msgspec import Struct

# Where a word begins, or an escaped line (`\nghp_…`), or what a URL quotes.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-F]{2}))"
_END = r"(?![A-Za-z0-9])"
_RANDOM = r"(?=[a-z_.-]{0,80}[A-Z0-9])"  # as no name of a program's is
_HEX = r"[0-9a-f]"
# What the issuers' documents show: EXAMPLE, xxxxxxxx, alphabets, the accounts of Azure's two emulators.
_EXAMPLE = re.compile(
    rb"(?i)example|(.)\1{7}|abcdefghijklmnopqrstuvwxyz|0123456789abcdef|1234567890abcdef"
    rb"|Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw"
    rb"|C2y6yDjf5/R\+ob0N8A7Cgv30VRDJIWEHLM\+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw"
)


def _is_no_example(text: bytes) -> bool:
    return not _EXAMPLE.search(text)


def _is_of_service(token: bytes) -> bool:
    """Tell whether a JSON Web Token is of a service account: those of people end with their sessions."""
    payload = token.split(b".")[1]
    claims = base64.urlsafe_b64decode(payload[: len(payload) // 4 * 4])
    return (b"serviceaccount" in claims or b"service_role" in claims) and b"supabase-demo" not in claims


class Hit(NamedTuple):
    """A credential in some bytes: where it begins, where to look on, its kind, and itself."""

    at: int
    end: int
    kind: str
    value: bytes


class Kind(Struct, frozen=True):
    """Describes a kind of credential: `start`, one of the `hints`, `rest`; and `check` has the last word.

    The credential is the group `value` of `rest`, where it has one.
    """

    name: str
    hints: tuple[str, ...]
    rest: str
    start: str = _START
    check: Callable[[bytes], bool] = _is_no_example

    def find(self, data: bytes | memoryview, at: int) -> Hit | None:
        """Read the credential whose hint is at a place."""
        match = _compile(self).match(data, at)
        if match is None or not self.check(match[0]):
            return None
        group = "value" if "value" in match.re.groupindex else 0
        return Hit(match.start(group), match.end(), self.name, match[group])


# Rules of our own: detect-secrets (of 2024) knows fewer issuers and reads lines; gitleaks' rules come in no
# package, and refuse 37 of the 1,859 files of flask and redis, in which there is no credential.
_PEM_BREAK = r"(?:[ \t]{0,20}(?:\r?\n|\\+r\\+n|\\+n)){1,4}[ \t#*>|/+-]{0,40}"
_PEM_LINE = r"(?:MI[A-Za-z0-9+/=]{2,}|[A-Za-z0-9+/=]{40,})"
# A program that names a key's first line has no base64 after it.
_PEM = (
    r"(?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:"
    rf"{_PEM_BREAK}(?:[A-Za-z-]{{4,20}}: [^\n\\]{{1,100}}{_PEM_BREAK}){{0,5}}"
    rf"{_PEM_LINE}(?=[ \t]{{0,20}}(?:[\r\n\\\"'<]|-----|\Z))"
    r"|[\s\\nr\"'+,]{1,60}[A-Za-z0-9+/=]{40,})"
    r"(?:[\s\\\"'+,#*>|]{1,40}[A-Za-z0-9+/=]{1,100}){0,400}"
)
_PKCS12_START = "|".join(
    rf"(?<=\A0{length}\x02\x01\x030{length})" for length in (r"\x80", r"\x82..", r"\x83...", r"\x84....")
)


@cache
def _compile(kind: Kind) -> re.Pattern[bytes]:
    hints = "|".join(map(re.escape, kind.hints))
    return re.compile(f"(?s){kind.start}(?:{hints}){kind.rest}".encode("latin-1"))


def _issuer(name: str, hints: str, rest: str, start: str = _START) -> Kind:
    return Kind(name, tuple(hints.split()), rest, start)


KINDS = (
    Kind("private key", ("-----BEGIN ",), _PEM, start="", check=bool),
    Kind(
        "private key",
        ("PuTTY-User-Key-File-",),
        r"[123]: (?:(?!PuTTY)[^\n]{1,300}\n){1,200}?Private-Lines: [0-9]{1,3}\r?\n[A-Za-z0-9+/=]{4,}",
        check=bool,
    ),
    # Its version, and the identifier of the data in it, at a file's beginning (RFC 7292).
    Kind(
        "PKCS#12 file",
        ("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01",),
        ".{0,256}",
        rf"(?:{_PKCS12_START})",
        bool,
    ),
    Kind(
        "service account's token",
        ("eyJ",),
        r"[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{16,8000}\.[A-Za-z0-9_-]{16,2000}",
        check=_is_of_service,
    ),
    _issuer("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_RANDOM}[A-Za-z0-9_]{{30,}}"),
    _issuer("GitHub token", "github_pat_", r"[A-Za-z0-9_]{22,}"),
    _issuer(
        "GitLab token",
        "glpat- gldt- glrt- glrtr- glptt- glft- glsoat- glcbt- glagent- gloas- glimt- glffct- glwt- "
        "GR1348941",
        rf"{_RANDOM}[A-Za-z0-9_.-]{{20,}}",
    ),
    _issuer("Anthropic key", "sk-ant-", r"[A-Za-z0-9]{2,12}-[A-Za-z0-9_-]{16,}"),
    _issuer("OpenAI key", "sk-proj- sk-svcacct- sk-admin-", rf"{_RANDOM}[A-Za-z0-9_-]{{40,}}"),
    _issuer("OpenAI key", "sk-", rf"(?=[a-z]*[A-Z0-9])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{{48}}{_END}"),
    _issuer("OpenRouter key", "sk-or-v1-", rf"{_HEX}{{64}}"),
    _issuer("AWS access key", "AKIA ASIA ABIA ACCA", rf"[A-Z0-9]{{16}}{_END}"),
    _issuer(
        "AWS secret key",
        "secret_access_key SECRET_ACCESS_KEY secretAccessKey SecretAccessKey",
        r"[\"']?\s{0,4}(?:[:=>]|=>)\s{0,4}[\"']?(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        start="",
    ),
    _issuer("AWS Bedrock key", "ABSK", r"[A-Za-z0-9+/]{109,}={0,2}"),
    _issuer("Google API key", "AIza", rf"[A-Za-z0-9_-]{{35}}{_END}"),
    _issuer("Google OAuth secret", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    _issuer("Google OAuth token", "ya29. 1//0", rf"{_RANDOM}[A-Za-z0-9_-]{{40,}}"),
    _issuer("Azure key", "AccountKey=", r"[A-Za-z0-9+/]{86}=="),
    _issuer("Azure key", "SharedAccessKey=", r"[A-Za-z0-9+/]{43}="),
    _issuer(
        "Azure key",
        "AZURE_STORAGE_",
        r"(?:[A-Z]{2,10}_)?KEY[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<value>[A-Za-z0-9+/]{86}==)",
    ),
    _issuer("Azure key", "+ASt ACDb", r"[A-Za-z0-9+/]{6}==", r"(?<=[A-Za-z0-9+/]{76})"),
    _issuer("Azure key", "+AEh +ASb +ARm AzCa AIoT", r"[A-Za-z0-9+/]{6}=", r"(?<=[A-Za-z0-9+/]{33})"),
    _issuer("Azure client secret", "Q~", rf"[A-Za-z0-9_~.-]{{31,34}}{_END}", r"(?<=[A-Za-z0-9_~.-]{3}[0-9])"),
    _issuer("Azure DevOps token", "AZDO", rf"[A-Za-z0-9]{{4}}{_END}", r"(?<=[A-Za-z0-9]{76})"),
    _issuer(
        "Slack token", "xoxa- xoxb- xoxc- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"[0-9][A-Za-z0-9-]{15,}"
    ),
    _issuer("Slack token", "xoxd-", rf"{_RANDOM}[A-Za-z0-9%+/=]{{40,}}"),
    _issuer(
        "Slack webhook",
        "hooks.slack.com/",
        r"(?:services|workflows|triggers)/(?=[A-Z]*[0-9])[A-Za-z0-9+/]{20,}",
        "",
    ),
    _issuer("Discord webhook", "/api/webhooks/", r"[0-9]{17,20}/[A-Za-z0-9_-]{60,}", ""),
    _issuer("Telegram token", ":AA", rf"[A-Za-z0-9_-]{{33}}{_END}", r"(?<=[0-9]{8})"),
    _issuer("Stripe live key", "sk_live_ rk_live_", r"[A-Za-z0-9]{16,}"),
    _issuer("npm token", "npm_", rf"[A-Za-z0-9]{{36}}{_END}"),
    _issuer("PyPI token", "pypi-Ag", r"[A-Za-z0-9_-]{40,}"),
    _issuer("Hugging Face token", "hf_ api_org_", rf"{_RANDOM}[A-Za-z0-9]{{34,}}"),
    _issuer("SendGrid key", "SG.", rf"[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}{_END}"),
    _issuer("DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", rf"{_HEX}{{64}}"),
    _issuer("Docker token", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_-]{27,}"),
    _issuer("Databricks token", "dapi", rf"{_HEX}{{32}}{_END}"),
    _issuer("Shopify token", "shpat_ shpca_ shppa_ shpss_", r"[0-9A-Fa-f]{32}"),
    _issuer("Square token", "sq0atp- sq0csp-", rf"{_RANDOM}[A-Za-z0-9_-]{{22,}}"),
    _issuer("Grafana token", "glsa_", rf"[A-Za-z0-9]{{32}}_{_HEX}{{8}}"),
    _issuer("Grafana token", "glc_", r"eyJ[A-Za-z0-9+/]{40,}"),
    _issuer("Linear key", "lin_api_", r"[A-Za-z0-9]{40}"),
    _issuer("Notion token", "ntn_", r"[0-9]{11}[A-Za-z0-9]{35}"),
    _issuer("New Relic key", "NRAK-", r"[A-Z0-9]{27}"),
    _issuer("Postman key", "PMAK-", rf"{_HEX}{{24}}-{_HEX}{{34}}"),
    _issuer("RubyGems key", "rubygems_", rf"{_HEX}{{48}}"),
    _issuer("Pulumi token", "pul-", rf"{_HEX}{{40}}{_END}"),
    _issuer("Vault token", "hvs. hvb.", r"[A-Za-z0-9_-]{90,}"),
    _issuer("Terraform token", ".atlasv1.", r"[A-Za-z0-9_=-]{60,}", r"(?<=[A-Za-z0-9]{14})"),
    _issuer("Doppler token", "dp.pt. dp.st. dp.ct. dp.sa.", r"[A-Za-z0-9._-]{40,}"),
    _issuer("Heroku key", "HRKU-AA", r"[A-Za-z0-9_-]{58}"),
    _issuer("Atlassian token", "ATATT3xFfGF0", r"[A-Za-z0-9_=-]{100,}"),
    _issuer("Figma token", "figd_", r"[A-Za-z0-9_-]{40,}"),
    _issuer("Groq key", "gsk_", r"[A-Za-z0-9]{52}"),
    _issuer("xAI key", "xai-", r"[A-Za-z0-9]{80}"),
    _issuer("Perplexity key", "pplx-", r"[A-Za-z0-9]{48}"),
    _issuer("Replicate token", "r8_", rf"[A-Za-z0-9]{{37}}{_END}"),
    _issuer("Sentry token", "sntrys_eyJ sntryu_", r"[A-Za-z0-9+/=_-]{60,}"),
    _issuer("PlanetScale token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_.=-]{32,}"),
    _issuer("Supabase key", "sbp_ sb_secret_", rf"{_RANDOM}[A-Za-z0-9_-]{{31,}}"),
    _issuer("Brevo key", "xkeysib-", rf"{_HEX}{{64}}-[A-Za-z0-9]{{16}}"),
    _issuer("Tailscale key", "tskey-", r"[a-z]{3,12}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{20,}"),
    _issuer("age key", "AGE-SECRET-KEY-1", r"[A-Z0-9]{58}"),
)

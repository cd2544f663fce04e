"""Repository URLs, held against two parsers that were not made for this."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from github_worker.contract import RepositoryUrl

SCHEMES = [
    "https",
    "http",
    "HTTPS",
    "ssh",
    "git",
    "file",
    "https:",
    "",
    "http\N{LATIN SMALL LETTER LONG S}",
    "ext::sh -c",
    "java\tscript",
]
SEPARATORS = ["://", ":/", ":", "://///", ":\\\\", "//", ":/\t/"]
USERINFO = ["git@", "user:pass@", "@", "a%40b@", "x@y@", "github.com\\@", "github.com#@"]
HOSTS = [
    "github.com",
    "GitHub.COM.",
    "127.0.0.1",
    "0x7f.1",
    "[::1]",
    "[::ffff:1.2.3.4%25eth0]",
    "[",
    "[B]",
    "[:::::]",
    "[1::2::3]",
    "bücher.example",
    "xn--bcher-kva.example",
    "github。com",
    "github.com%2eevil.example",
    "git\thub.com",
    "evil.example\\.github.com",
    "github.com\n",
    "-",
    "..",
    "",
]
PORTS = [":443", ":80", ":0443", ":8080", ":0", ":65536", ":99999", ":", ":-1", ":1_0", ":٣"]
PATHS = [
    "/octo/demo",
    "/octo/demo.git",
    "/octo/demo/",
    "/octo/demo.git/",
    "/octo/.git",
    "/octo/.git.git",
    "/octo/..",
    "/octo/../evil",
    "/octo/%2e%2e",
    "/octo//demo",
    "/octo",
    "octo/demo",
    ":octo/demo.git",
    "/octo/demo/tree/main",
    "/group/sub/group/demo.git",
    "/scm/~ann/demo",
    "/octo/my%20project/_git/demo",
    "/octo\\demo",
    "/öcto/demo",
    "/octo/demo\t",
    "/octo/de\rmo",
    "/-octo/demo",
    "/octo/" + "d" * 101,
]
TAILS = ["?", "#", "?x=1", "#frag", " ", "\n", "\x00", "@evil.example", ";p"]

ODD = (SCHEMES, SEPARATORS, USERINFO, HOSTS, PORTS, PATHS, TAILS)
SOUND = ("https", "://", "", "github.com", "", "/octo/demo", "")


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Draw a sound URL with up to three odd parts and up to two more characters anywhere."""
    parts = list(SOUND)
    for number in draw(st.sets(st.sampled_from(range(len(parts))), max_size=3)):
        parts[number] = draw(st.sampled_from(ODD[number]))
    url = "".join(parts)
    for at, character in draw(st.lists(st.tuples(st.integers(0, 60), st.characters(codec=None)), max_size=2)):
        url = url[:at] + character + url[at:]
    return url


def accepted(text: str) -> RepositoryUrl | None:
    """Parse it, or return None."""
    try:
        return RepositoryUrl.parse(text)
    except ValueError:
        return None


@settings(max_examples=5 * settings().max_examples)
@given(urls() | st.text(st.characters(codec=None), max_size=80))
def test_what_is_accepted_is_what_it_looks_like(text: str) -> None:
    """Every parser sees the same origin, nobody a user, and its text leads back to it."""
    if (url := accepted(text)) is None:
        return
    assert text.isascii()
    assert text.isprintable()
    https = f"https://{text[4:].replace(':', '/', 1)}" if text.startswith("git@") else text
    split, theirs = urlsplit(https), httpx.URL(https.lower())
    assert split.username is split.password is None
    assert (split.query, split.fragment, split.scheme) == ("", "", theirs.scheme)
    port = None if split.port == {"http": 80, "https": 443}[split.scheme] else split.port
    assert url.origin == f"{split.scheme}://{_bracketed(split.hostname)}" + (f":{port}" if port else "")
    assert url.origin == f"{theirs.scheme}://{theirs.netloc.decode()}"
    assert unquote(split.path).lower() == theirs.path
    assert split.path.rstrip("/").removesuffix(".git") == f"/{url.owner}/{url.name}"
    assert RepositoryUrl.parse(str(url)) == url


def _bracketed(host: str | None) -> str:
    return f"[{host}]" if host and ":" in host else host or ""

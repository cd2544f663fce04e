"""Reads the settings from the environment, once, and checks them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from github_worker.contract import (
    Build,
    ModelCredentials,
    OnSecret,
    RepositoryUrl,
    is_branch_name,
    is_line,
    name_forge,
    origin_of,
)
from github_worker.errors import ConfigurationError
from github_worker.redaction import USERNAME, Secret

if TYPE_CHECKING:
    from github_worker.signing import Signer

_LOG_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_CLOUDS = ("AWS_", "GOOGLE_", "AZURE_")
_SECRET = re.compile("KEY|SECRET|TOKEN|CREDENTIALS")
# Files that the clouds' own libraries look for; they hold no value of ours.
_CLOUDS_OWN_FILES = {
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
}
# GitHub's own API has a host beside that of the repositories; an Enterprise server's is below a path.
_API_HOST = re.compile(r"(https://)api\.((?:github|[a-z0-9-]+\.ghe)\.com)")
# What libraries read by themselves. A token's file is replaced while it is used, so its folder counts.
_LIBRARIES_FILES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    *("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
)
_LIBRARIES_TOKENS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
)
_LIBRARIES_URLS = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    *("IDENTITY_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
)
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
# Where github.com has what its repositories' pointers name, and who is told of an upload.
_GITHUBS_STORAGE = "github-cloud.githubusercontent.com,github-cloud.s3.amazonaws.com,lfs.github.com"
_USERNAMES = {"GitLab": "oauth2", "Bitbucket": "x-token-auth"}
_HOST = "0.0.0.0"  # noqa: S104 (a container's port is published or it is not)
Value = TypeVar("Value")
ForgeKind = Literal["github", "gitlab", "gitea", "forgejo"]
# Where an API is below a forge's address.
_FORGES: Mapping[str, tuple[ForgeKind, str]] = {
    "gitlab": ("gitlab", "/api/v4"),
    "gitea": ("gitea", "/api/v1"),
    "forgejo": ("forgejo", "/api/v1"),
}
_KNOWN_FORGES = "gitlab.com=gitlab,codeberg.org=forgejo"


class Forge(Struct, frozen=True):
    """A forge: which of those whose API is known, and that API's root."""

    kind: ForgeKind
    url: str


class GitHubApp(Struct, frozen=True, kw_only=True):
    """The GitHub App that makes tokens for requests without one, and for which repositories it may.

    `id` is its number or its client id, `private_key` is PEM, `repositories` are patterns such as `acme/*`.
    """

    id: str
    private_key: Secret
    repositories: tuple[str, ...]

    def covers(self, owner: str, name: str) -> bool:
        """Tell whether a caller without a token has a right to a repository; GitHub heeds no case."""
        patterns = (pattern.partition("/") for pattern in self.repositories)
        return any(
            fnmatchcase(owner.lower(), owners) and fnmatchcase(name.lower(), names)
            for owners, _, names in patterns
        )


class Otlp(Struct, frozen=True, kw_only=True):
    """Says where traces and metrics go, and how sessions are named there; None is nowhere.

    `headers` are OpenTelemetry's `name=value,…`; `interval` is in seconds.
    """

    traces_url: str | None
    metrics_url: str | None
    headers: Secret | None
    interval: float
    sessions: Literal["plain", "hashed", "none"]


class Settings(Struct, frozen=True, kw_only=True):
    """Holds how this worker is to run; times are in seconds, sizes in bytes."""

    host: str
    port: int
    metrics_port: int | None
    tmp_dir: Path
    storage_worker_url: str | None
    storage_url: str | None
    storage_options: Mapping[str, Secret | str]
    storage_timeout: float
    worker_tokens: tuple[Secret, ...]
    git_allowed_hosts: tuple[str, ...]
    git_usernames: Mapping[str, str]
    git_timeout: float
    github_api_url: str
    forges: Mapping[str, Forge]
    branch_prefix: str
    committer_name: str
    committer_email: str
    naming_model: str
    naming_timeout: float
    anthropic_api_key: ModelCredentials | None
    anthropic_base_url: str | None
    https_proxy: Secret | None
    no_proxy: tuple[str, ...]
    job_timeout: float
    max_session_bytes: int
    max_session_files: int
    on_secret: OnSecret
    workers: int | None
    queue: int
    log_level: str
    log_format: Literal["json", "console"]
    build: Build
    sandbox: Literal["auto", "require", "off"]
    library_files: tuple[str, ...]
    library_ports: frozenset[int]
    otlp: Otlp | None = None
    signer: Signer | None = None
    lfs: bool
    lfs_allowed_hosts: tuple[str, ...]
    lfs_max_bytes: int
    lfs_max_objects: int
    github_app: GitHubApp | None = None

    @property
    def embedded_store(self) -> bool:
        """Whether sessions are kept in a folder of this machine, no store being configured."""
        return self.storage_worker_url is None and self.storage_url is None

    @property
    def forge_origin(self) -> str:
        """The origin of the repositories that `GITHUB_API_URL` speaks for."""
        origin = origin_of(self.github_api_url)
        return "".join(match.groups()) if (match := _API_HOST.fullmatch(origin)) else origin

    def forge_of(self, origin: str) -> Forge | None:
        """Return the forge that has the repositories of an origin, None where no setting says it."""
        own = Forge("github", self.github_api_url) if origin == self.forge_origin else None
        return self.forges.get(origin, own)

    def app_for(self, url: RepositoryUrl) -> GitHubApp | None:
        """Return the app that makes tokens for a repository, None where none may."""
        app = self.github_app
        if app is None or not (self.is_on_github(url) and self.allows(url.origin)):
            return None
        return app if app.covers(url.owner, url.name) else None

    def is_on_github(self, url: RepositoryUrl) -> bool:
        """Tell whether a repository is on the GitHub that `GITHUB_API_URL` speaks for."""
        forge = self.forge_of(url.origin)
        return forge is not None and forge.kind == "github"

    def proxy_for(self, url: str) -> Secret | None:
        """Return the proxy on the way to an https URL, unless its host is one of `NO_PROXY`."""
        parts = urlsplit(url)
        exempt = any(f".{parts.hostname}".endswith(f".{name}") for name in self.no_proxy)
        return None if parts.scheme != "https" or exempt else self.https_proxy

    def username_for(self, origin: str) -> str:
        """Return the user name that a token goes with to a git server: `GIT_USERNAMES`', or its forge's."""
        parts = urlsplit(origin)
        named = self.git_usernames.get(parts.netloc) or self.git_usernames.get(parts.hostname or "")
        return named or _USERNAMES.get(name_forge(origin) or "", USERNAME)

    def allows(self, origin: str) -> bool:
        """Tell whether a token may be sent to `origin` (scheme, host and port)."""
        return _lists(self.git_allowed_hosts, origin) or _takes_any(self.git_allowed_hosts, origin)

    def lists_content(self, origin: str) -> bool:
        """Tell whether large files may be on `origin` because it is listed, and not by `*`."""
        return _lists((*self.git_allowed_hosts, *self.lfs_allowed_hosts), origin)

    def allows_content(self, origin: str) -> bool:
        """Tell whether large files may be on `origin`, if that is a public address."""
        is_usual = "*" in self.lfs_allowed_hosts and origin.startswith("https://") and port_of(origin) == 443
        return is_usual or _takes_any(self.git_allowed_hosts, origin)


def from_env(env: Mapping[str, str]) -> Settings:
    """Read the settings; raise ConfigurationError naming the variable that is wrong."""
    read = _Reader(env)
    storage_worker_url, storage_url = _read_store(read)
    return Settings(
        host=read.value("HOST", _HOST, str),
        port=read.value("PORT", "5002", _parse_port),
        metrics_port=_read_metrics_port(read),
        tmp_dir=read.value("TMP_DIR", "/tmp", _find_folder),  # noqa: S108 (the contract's default)
        storage_worker_url=storage_worker_url,
        storage_url=storage_url,
        storage_options=read.cloud_options(),
        storage_timeout=read.value("STORAGE_TIMEOUT", "60", _parse_seconds),
        worker_tokens=read.optional("GITHUB_WORKER_TOKEN", _parse_tokens) or (),
        git_allowed_hosts=read.value("GIT_ALLOWED_HOSTS", "github.com", _parse_hosts),
        git_usernames=read.value("GIT_USERNAMES", "", _parse_usernames),
        git_timeout=read.value("GIT_TIMEOUT", "60", _parse_seconds),
        github_api_url=read.value("GITHUB_API_URL", "https://api.github.com", _check_http_url),
        forges=_parse_forges(_KNOWN_FORGES) | read.value("FORGES", _KNOWN_FORGES, _parse_forges),
        branch_prefix=read.value("BRANCH_PREFIX", "webedt/", _check_branch_prefix),
        committer_name=read.value("GIT_COMMITTER_NAME", "GitHub Worker", _check_line),
        committer_email=read.value("GIT_COMMITTER_EMAIL", "worker@github-worker.local", _check_line),
        naming_model=read.value("NAMING_MODEL", "claude-haiku-4-5", _check_line),
        naming_timeout=read.value("NAMING_TIMEOUT", "15", _parse_seconds),
        anthropic_api_key=read.optional("ANTHROPIC_API_KEY", ModelCredentials),
        anthropic_base_url=read.optional("ANTHROPIC_BASE_URL", _check_http_url),
        https_proxy=read.optional("HTTPS_PROXY", _parse_proxy),
        no_proxy=read.value("NO_PROXY", "", _split_domains),
        job_timeout=read.value("JOB_TIMEOUT", "900", _parse_seconds),
        max_session_bytes=read.value("MAX_SESSION_BYTES", "8 GiB", _parse_size),
        max_session_files=read.value("MAX_SESSION_FILES", "1000000", _parse_count),
        on_secret=read.value("ON_SECRET", "refuse", _parse_on_secret),
        workers=read.optional("WORKERS", _parse_workers),
        queue=read.value("QUEUE", "100", _parse_length),
        log_level=read.value("LOG_LEVEL", "info", _choose_from(*_LOG_LEVELS)),
        log_format=read.value("LOG_FORMAT", "json", _parse_log_format),
        build=_read_build(read),
        sandbox=read.value("SANDBOX", "auto", _parse_sandbox),
        library_files=read.library_files(),
        library_ports=read.library_ports(),
        otlp=_read_otlp(read),
        signer=_read_signer(read),
        lfs=read.value("LFS", "off", _parse_switch),
        lfs_allowed_hosts=read.value("LFS_ALLOWED_HOSTS", _GITHUBS_STORAGE, _parse_hosts),
        lfs_max_bytes=read.value("LFS_MAX_BYTES", "2 GiB", _parse_size),
        lfs_max_objects=read.value("LFS_MAX_OBJECTS", "10000", _parse_count),
        github_app=_read_github_app(read),
    )


def _lists(hosts: tuple[str, ...], origin: str) -> bool:
    parts = urlsplit(origin)
    return origin in hosts or (parts.scheme == "https" and parts.netloc in hosts)


def _takes_any(hosts: tuple[str, ...], origin: str) -> bool:
    return "*" in hosts and urlsplit(origin).scheme == "https"


def read_secret(env: Mapping[str, str], name: str) -> Secret | None:
    """Read a secret from its variable or its file; raise ConfigurationError."""
    return _Reader(env).optional(name, Secret)


def is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches a port of an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def port_of(url: str) -> int:
    """Return the port that a URL, or a host of https, leads to; raise ValueError where it is none."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return parts.port or _PORTS.get(parts.scheme, 443)


class _Reader:
    """Reads variables, each from itself or from the file that `NAME_FILE` names."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def value(self, name: str, default: str, parse: Callable[[str], Value]) -> Value:
        """Parse a variable, or its default; raise ConfigurationError, which says what is wrong with it."""
        text = self._text(name) or default
        try:
            return parse(text)
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"{name} {error}") from None

    def optional(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        """Parse a variable, or return None where it is not set."""
        return self.value(name, "", parse) if self._text(name) else None

    def cloud_options(self) -> dict[str, Secret | str]:
        """Collect the variables of the clouds' object stores, by their names in lower case."""
        given = {name for name in self._env if name.startswith(_CLOUDS)} - _CLOUDS_OWN_FILES
        names = {name.removesuffix("_FILE") for name in given}
        texts = {name: text for name in sorted(names) if (text := self._text(name))}
        return {name.lower(): Secret(text) if _SECRET.search(name) else text for name, text in texts.items()}

    def library_files(self) -> tuple[str, ...]:
        """Collect the files and folders that libraries open because a variable of theirs says so."""
        files = [path for value in self._given(_LIBRARIES_FILES) for path in value.split(os.pathsep)]
        return tuple(filter(None, files + [os.path.dirname(file) for file in self._given(_LIBRARIES_TOKENS)]))

    def library_ports(self) -> frozenset[int]:
        """Collect the ports that libraries connect to because a variable of theirs says so."""
        ports = set()
        for url in self._given(_LIBRARIES_URLS):
            with suppress(ValueError):  # the library's to tell
                ports.add(port_of(url if "://" in url else f"http://{url}"))
        return frozenset(ports)

    def _given(self, names: Collection[str]) -> list[str]:
        """Return the values of those of the variables that are set, which are none of ours."""
        return [value for name, value in self._env.items() if name in names and value]

    def _text(self, name: str) -> str:
        file = self._env.get(f"{name}_FILE")
        if file is None:
            return self._env.get(name, "").strip()
        if self._env.get(name):
            raise ConfigurationError(f"{name} and {name}_FILE are both set: set one of them")
        try:
            return Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE cannot be read: {error}") from None


def _read_store(read: _Reader) -> tuple[str | None, str | None]:
    """Read where sessions are: the storage worker, an object store, or neither."""
    worker_url = read.optional("STORAGE_WORKER_URL", _check_http_url)
    url = read.optional("STORAGE_URL", _check_storage_url)
    if worker_url and url:
        raise ConfigurationError("STORAGE_WORKER_URL and STORAGE_URL are both set: set one of them")
    return worker_url, url


def _read_github_app(read: _Reader) -> GitHubApp | None:
    """Read which app makes tokens, and for whom; None where no app is named."""
    named = read.optional("GITHUB_APP_ID", _check_app_id)
    key = read.optional("GITHUB_APP_PRIVATE_KEY", _parse_app_key)
    repositories = read.optional("GITHUB_APP_REPOSITORIES", _parse_patterns)
    given = {
        "GITHUB_APP_ID": named,
        "GITHUB_APP_PRIVATE_KEY": key,
        "GITHUB_APP_REPOSITORIES": repositories,
    }
    if not any(given.values()):
        return None
    if named is None or key is None or repositories is None:
        present = [name for name, value in given.items() if value]
        missing = [name for name in given if name not in present]
        raise ConfigurationError(
            f"{present[0]} is set, but {missing[0]} is not: an app's tokens take its id, its key, and the"
            " repositories that callers have a right to"
        )
    has_token = read.optional("GITHUB_WORKER_TOKEN", _parse_tokens) is not None
    if not has_token and not is_loopback(read.value("HOST", _HOST, str)):
        raise ConfigurationError(
            "GITHUB_APP_ID is set, but GITHUB_WORKER_TOKEN is not: whoever reaches the port could write to"
            " the app's repositories"
        )
    return GitHubApp(id=named, private_key=key, repositories=repositories)


def _read_otlp(read: _Reader) -> Otlp | None:
    """Read where traces and metrics go, by OpenTelemetry's variables; None where none says it."""
    root = read.optional("OTEL_EXPORTER_OTLP_ENDPOINT", _check_http_url)
    urls: dict[str, str | None] = {}
    for kind in ("TRACES", "METRICS"):
        url = read.optional(f"OTEL_EXPORTER_OTLP_{kind}_ENDPOINT", _check_http_url)
        exporter = read.value(f"OTEL_{kind}_EXPORTER", "otlp", _choose_from("otlp", "none"))
        found = url or (f"{root}/v1/{kind.lower()}" if root else None)
        urls[kind] = found if exporter == "otlp" else None
    read.value("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", _choose_from("http/protobuf"))
    otlp = Otlp(
        traces_url=urls["TRACES"],
        metrics_url=urls["METRICS"],
        headers=read.optional("OTEL_EXPORTER_OTLP_HEADERS", Secret),
        interval=read.value("OTEL_METRIC_EXPORT_INTERVAL", "60000", _parse_milliseconds),
        sessions=read.value("TELEMETRY_SESSION_IDS", "plain", _parse_sessions),
    )
    is_off = read.value("OTEL_SDK_DISABLED", "false", _choose_from("true", "false")) == "true"
    return None if is_off or not any(urls.values()) else otlp


def _read_metrics_port(read: _Reader) -> int | None:
    """Read where the metrics are answered without a token: nowhere, unless somebody is there to be asked."""
    port = read.optional("METRICS_PORT", _parse_port)
    if port and port == read.value("PORT", "5002", _parse_port):
        raise ConfigurationError("METRICS_PORT and PORT are the same: set METRICS_PORT to another")
    if port is not None and read.optional("WORKERS", _parse_workers) is None:
        raise ConfigurationError(
            "METRICS_PORT is set, but a process that ends with its one job cannot be asked for metrics: set"
            " WORKERS too, or leave METRICS_PORT out"
        )
    return port


def _read_signer(read: _Reader) -> Signer | None:
    """Read the key that signs commits; what reads keys is imported only where there is one."""
    passphrase = read.optional("GIT_SIGNING_PASSPHRASE", Secret)

    def parse(text: str) -> Signer:
        from github_worker.signing import read_key  # noqa: PLC0415 (most workers have none)

        return read_key(Secret(text), passphrase)

    signer = read.optional("GIT_SIGNING_KEY", parse)
    if passphrase and not signer:
        raise ConfigurationError("GIT_SIGNING_PASSPHRASE is set, but no GIT_SIGNING_KEY that it is for")
    return signer


def _read_build(read: _Reader) -> Build:
    return Build(
        commit_sha=read.value("BUILD_COMMIT_SHA", "unknown", str),
        timestamp=read.value("BUILD_TIMESTAMP", "unknown", str),
        image_tag=read.value("BUILD_IMAGE_TAG", "unknown", str),
    )


def _parse_port(text: str) -> int:
    return _check_range(_parse_number(text), 0, 65535)


def _parse_count(text: str) -> int:
    return _check_range(_parse_number(text), 1, 2**63)


def _parse_workers(text: str) -> int:
    return _check_range(_parse_number(text), 1, 1000)


def _parse_length(text: str) -> int:
    return _check_range(_parse_number(text), 0, 10_000)


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", text)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(f"must be a size such as 8 GiB, not {text!r}")
    return _check_range(int(match[1]) * _UNITS[match[2].upper()], 1, 2**63)


def _parse_number(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"must be a whole number, not {text!r}")
    return int(text)


def _check_range(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(f"must be between {least} and {most}, not {number}")
    return number


def _parse_seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) <= 86_400:
        raise ValueError(f"must be seconds, more than 0 and at most 86400, not {text!r}")
    return float(text)


def _parse_milliseconds(text: str) -> float:
    return _check_range(_parse_number(text), 1, 86_400_000) / 1000


def _parse_sessions(text: str) -> Literal["plain", "hashed", "none"]:
    ways: dict[str, Literal["plain", "hashed", "none"]] = {
        "plain": "plain",
        "hashed": "hashed",
        "none": "none",
    }
    if text not in ways:
        raise ValueError(f"must be plain, hashed or none, not {text!r}")
    return ways[text]


def _find_folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"must be a folder that exists, for scratch space; {text!r} is none")
    return path.resolve()


def _check_http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http or https URL")
    port_of(text)
    return text.rstrip("/")


def _parse_proxy(text: str) -> Secret:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be http://[user:password@]host:port")
    port_of(text)
    return Secret(text.rstrip("/"))


def _split_domains(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower().lstrip(".") for name in text.split(",") if name.strip())


def _check_app_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text):
        raise ValueError(f"must be the app's number or its client id, not {text!r}")
    return text


def _parse_app_key(text: str) -> Secret:
    """Read a private key in PEM, whose lines an environment may hold as one with `\\n` between them."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 (few have an app)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    pem = text.replace("\\n", "\n")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):  # in words of its own, which may quote the key
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("must be the private key that GitHub made for the app: RSA, in PEM, not encrypted")
    return Secret(pem)


def _parse_patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(pattern.strip().lower() for pattern in text.split(",") if pattern.strip())
    for pattern in patterns:
        if not re.fullmatch(r"[a-z0-9*?_-]+/[a-z0-9*?._-]+", pattern):
            raise ValueError(f"must be owner/name, separated by commas, where * is any; {pattern!r} is none")
    if not patterns:
        raise ValueError("must name a repository")
    return patterns


def _check_storage_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"s3", "gs", "az", "file"} or not (parts.netloc or parts.scheme == "file"):
        raise ValueError("must be s3://bucket[/prefix], gs://…, az://… or file:///folder")
    if parts.scheme == "file":
        _check_store_folder(parts.netloc, unquote(parts.path))
    return text.rstrip("/")


def _check_store_folder(host: str, path: str) -> None:
    """Raise ValueError unless sessions can be kept in a folder; one that is misspelt is not made."""
    folder = Path(path)
    if host not in {"", "localhost"} or not folder.is_absolute():
        raise ValueError("must be file:///folder, the folder's whole path after three slashes")
    if not folder.exists():
        raise ValueError(f"names the folder {path!r}, which does not exist; make it, or correct the name")
    if not folder.is_dir():
        raise ValueError(f"names {path!r}, which is a file; sessions are kept in a folder")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"names the folder {path!r}, where user {os.geteuid()} may not read and write")


def _parse_forges(text: str) -> dict[str, Forge]:
    """Read `host=kind:url`, separated by commas; the URL is the host's usual one unless given."""
    forges = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        match = re.fullmatch(r"((?:https?://)?(?:[a-z0-9.-]+)(?::[0-9]+)?)/?=([a-z]+)(?::(.+))?", entry, re.I)
        if not match or match[2].lower() not in _FORGES:
            raise ValueError(
                f"must be host={'|'.join(_FORGES)}[:url], separated by commas; {entry!r} is none"
            )
        port_of(match[1])
        origin = origin_of(match[1] if "://" in match[1] else f"https://{match[1]}")
        kind, path = _FORGES[match[2].lower()]
        forges[origin] = Forge(kind, _check_http_url(match[3] or f"{origin}{path}"))
    return forges


def _parse_usernames(text: str) -> dict[str, str]:
    usernames = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        match = re.fullmatch(r"([A-Za-z0-9.-]+(?::[0-9]+)?)=([!-+\--9;-~]{1,100})", entry)
        if not match:
            raise ValueError(f"must be host=name, separated by commas; {entry!r} is none")
        usernames[match[1].lower()] = match[2]
    return usernames


def _parse_hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower().rstrip("/") for host in text.split(",") if host.strip())
    for host in hosts:
        if not re.fullmatch(r"\*|(https?://)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", host):
            raise ValueError(f"must be hosts separated by commas; {host!r} is none")
        port_of(host)
    if not hosts:
        raise ValueError("must name a host")
    return hosts


def _parse_tokens(text: str) -> tuple[Secret, ...]:
    tokens = tuple(Secret(token.strip()) for token in text.split(",") if token.strip())
    if not 1 <= len(tokens) <= 2:
        raise ValueError("must be one token, or two separated by a comma")
    return tokens


def _check_branch_prefix(text: str) -> str:
    if not is_branch_name(f"{text}x"):
        raise ValueError(f"must begin a valid branch name, not {text!r}")
    return text


def _check_line(text: str) -> str:
    if not text.isprintable() or not is_line(text):
        raise ValueError("must be one line without < and >, and more than punctuation")
    return text


def _parse_log_format(text: str) -> Literal["json", "console"]:
    formats: dict[str, Literal["json", "console"]] = {"json": "json", "console": "console"}
    if text not in formats:
        raise ValueError(f"must be json or console, not {text!r}")
    return formats[text]


def _parse_on_secret(text: str) -> OnSecret:
    choices: dict[str, OnSecret] = {choice: choice for choice in get_args(OnSecret)}
    if text not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
    return choices[text]


def _parse_switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError(f"must be on or off, not {text!r}")
    return text == "on"


def _parse_sandbox(text: str) -> Literal["auto", "require", "off"]:
    modes: dict[str, Literal["auto", "require", "off"]] = {"auto": "auto", "require": "require", "off": "off"}
    if text not in modes:
        raise ValueError(f"must be auto, require or off, not {text!r}")
    return modes[text]


def _choose_from(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text.lower()

    return parse

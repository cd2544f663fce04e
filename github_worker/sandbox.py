"""Confines this process, by the kernel, to what a job needs: that holds even where the code is wrong.

Landlock (landlock(7)) is asked by its system calls. It binds the thread that asks and all that this one
starts, so it has to come before any other thread, and before a request is read.
"""

from __future__ import annotations

import ctypes
import errno
import os
import ssl
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from github_worker.errors import ConfigurationError
from github_worker.redaction import Secret
from github_worker.settings import Settings, port_of

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38  # prctl(2)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every processor but Alpha
_VERSION, _PATH_BENEATH, _NET_PORT = 1, 1, 2
_O_PATH: int = getattr(os, "O_PATH", 0)  # where there is none, nothing is confined
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in (7, 8, 12, 13, 14, 15))
_READ = _READ_FILE | _READ_DIR
_CHANGE = (
    _READ | _WRITE_FILE | _TRUNCATE | _REFER | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM
)
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND, _CONNECT = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
# What came with which version of Landlock.
_FILES = {1: _REFER - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
_PORTS = {4: _BIND | _CONNECT}
_SCOPES = {6: _ABSTRACT_SOCKETS | _SIGNALS}
_WORDS = {
    2: "moves between folders",
    3: "truncation",
    4: "TCP ports",
    5: "devices",
    6: "signals and abstract sockets",
}
_LEAST = 2  # the first allowed no move between folders at all, and libgit2 makes some
_REASONS = {
    errno.ENOSYS: "this kernel has no Landlock",
    errno.EOPNOTSUPP: "this kernel's Landlock is turned off",
    errno.EPERM: "Landlock's system calls are filtered",
}

_HTTPS, _DNS, _METADATA, _EMULATOR = 443, 53, 80, 10_000
_MODEL = "https://api.anthropic.com"
# Of /etc and /run, which hold secrets too, only what name resolution and TLS look for.
_SYSTEM = (
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/run/systemd/resolve"),
    *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf"),
    *("/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/etc/crypto-policies", "/usr/share/crypto-policies", "/usr/share/pki"),
    *("/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
    # How many processors there are, and how memory is lent: libraries choose their threads by it.
    *("/dev/urandom", "/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup"),
    *("/sys/devices/system/cpu", "/proc/sys/vm/overcommit_memory"),
)
# With one of these a cloud's store does not ask the machine's metadata service who it is.
_IDENTITIES = {
    "s3": {"aws_access_key_id", "aws_skip_signature"},
    "gs": {
        *("google_service_account", "google_service_account_path", "google_service_account_key"),
        *("google_application_credentials", "google_bearer_token", "google_skip_signature"),
    },
    "az": {
        *("azure_storage_account_key", "azure_storage_access_key", "azure_storage_master_key"),
        *("azure_storage_sas_key", "azure_storage_sas_token", "azure_storage_token", "azure_skip_signature"),
        *("azure_storage_client_secret", "azure_client_secret", "azure_storage_use_emulator"),
    },
}
_KEY_FILES = ("google_application_credentials", "google_service_account", "google_service_account_path")
_GCLOUD = "~/.config/gcloud/application_default_credentials.json"


class Rules(Struct, frozen=True, kw_only=True):
    """What the process may touch: paths, the port it listens on, those it connects to (None is any).

    Below `remove` it may remove empty folders, as its own one at the end.
    """

    read: tuple[str, ...]
    change: tuple[Path, ...]
    remove: Path
    listen: int
    connect: frozenset[int] | None


def confine(settings: Settings, scratch: Path) -> str:
    """Confine this thread and all that it starts; return how far, as `/health` says it.

    `scratch` is the folder of the job. Raise ConfigurationError where `SANDBOX=require` cannot be met.
    """
    if sys.platform != "linux":
        return _give_up(settings, "only Linux has Landlock")
    seal()
    if settings.sandbox == "off":
        return "off"
    _control(_PR_SET_NO_NEW_PRIVS, 1)
    try:
        version = landlock_version()
        if lack := find_lack(version, settings.sandbox):
            return _give_up(settings, f"this kernel's Landlock ({version}) has no rules for {lack}")
        rules = rules_for(settings, scratch)
        _enforce(rules, version)
    except OSError as error:
        return _give_up(settings, _REASONS.get(error.errno or 0, f"Landlock fails: {error.strerror}"))
    return f"landlock {version}, no-new-privs" + (", any port" if rules.connect is None else "")


def landlock_version() -> int:
    """Ask the kernel for the version of its Landlock; raise OSError where it has none."""
    return _system_call(_CREATE_RULESET, None, 0, _VERSION)


def find_lack(version: int, mode: str) -> str:
    """Name what a version of Landlock lacks, as far as the mode demands it."""
    demand = max(_WORDS) if mode == "require" else _LEAST
    return ", ".join(words for since, words in _WORDS.items() if version < since <= demand)


def seal() -> None:
    """Keep other processes of this user out of the memory, and the kernel from dumping it."""
    if sys.platform == "linux":
        _control(_PR_SET_DUMPABLE, 0)


def rules_for(settings: Settings, scratch: Path) -> Rules:
    """Decide what the process may touch."""
    return Rules(
        read=(*_SYSTEM, *_find_modules(), *_find_trust(), *settings.library_files, *_find_keys(settings)),
        change=(scratch, *_find_store(settings)),
        remove=settings.tmp_dir,
        listen=settings.port,
        connect=_find_ports(settings),
    )


def _give_up(settings: Settings, why: str) -> str:
    if settings.sandbox == "require":
        raise ConfigurationError(f"SANDBOX is require, and cannot be met: {why}")
    return "off" if settings.sandbox == "off" else f"none: {why}"


def _find_modules() -> Iterator[str]:
    """Yield the folders of modules and libraries, but not the one that the program happens to begin in."""
    yield from sys.path[0 if sys.flags.safe_path else 1 :]
    yield str(Path(__file__).parent)
    yield f"{sys.prefix}/lib"
    yield f"{sys.base_prefix}/lib"


def _find_trust() -> list[str]:
    paths = ssl.get_default_verify_paths()
    found = (paths.cafile, paths.capath, paths.openssl_cafile, paths.openssl_capath)
    return [path for path in found if path]


def _find_keys(settings: Settings) -> Iterator[str]:
    """Yield the files in which the cloud's own library looks for its keys."""
    if _scheme(settings) == "gs":
        options = settings.storage_options
        yield from (_reveal(options[name]) for name in _KEY_FILES if name in options)
        yield os.path.expanduser(_GCLOUD)


def _find_store(settings: Settings) -> list[Path]:
    """Return the folder that sessions are kept in, if it is one."""
    if settings.embedded_store:
        return [settings.tmp_dir / "github-worker-sessions"]
    if _scheme(settings) == "file":
        return [Path(unquote(urlsplit(settings.storage_url or "").path)).resolve()]
    return []


def _find_ports(settings: Settings) -> frozenset[int] | None:
    """Return the ports of all that the settings name; None where they name every https host."""
    if "*" in settings.git_allowed_hosts:
        return None
    urls = [*settings.git_allowed_hosts, settings.github_api_url, settings.anthropic_base_url or _MODEL]
    urls += [forge.url for forge in settings.forges.values()]
    urls += settings.lfs_allowed_hosts
    urls += [settings.storage_worker_url] if settings.storage_worker_url else []
    if (otlp := settings.otlp) is not None:
        urls += [url for url in (otlp.traces_url, otlp.metrics_url) if url]
    ports = {_HTTPS, _DNS, *map(port_of, urls), *settings.library_ports}
    return frozenset(ports | set(_find_cloud_ports(settings)))


def _find_cloud_ports(settings: Settings) -> Iterator[int]:
    scheme, options = _scheme(settings), settings.storage_options
    if scheme not in _IDENTITIES:
        return
    if not _IDENTITIES[scheme] & options.keys():
        yield _METADATA
    if "azure_storage_use_emulator" in options:
        yield _EMULATOR
    for value in map(_reveal, options.values()):
        with suppress(ValueError):
            if value.startswith(("http://", "https://")):
                yield port_of(value)


def _scheme(settings: Settings) -> str:
    return (settings.storage_url or "").partition(":")[0]


def _reveal(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _enforce(rules: Rules, version: int) -> None:
    """Bind this thread by the rules, as far as this version of Landlock knows them; raise OSError."""
    files, ports, scopes = (_sum_up(rights, version) for rights in (_FILES, _PORTS, _SCOPES))
    if rules.connect is None:
        ports &= ~_CONNECT
    attributes = struct.pack("=QQQ", files, ports, scopes)
    ruleset = _system_call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path, rights in _list_grants(rules):
            _allow_path(ruleset, path, rights & files)
        for port, rights in _list_ports(rules).items() if ports else ():
            _system_call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", rights, port), 0)
        _system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _sum_up(rights: Mapping[int, int], version: int) -> int:
    return sum(added for since, added in rights.items() if since <= version)


def _list_grants(rules: Rules) -> Iterator[tuple[str | Path, int]]:
    yield from ((path, _READ) for path in dict.fromkeys(rules.read))
    yield "/dev/null", _READ | _WRITE_FILE
    yield rules.remove, _REMOVE_DIR
    for folder in rules.change:
        with suppress(OSError):  # told by who uses it
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield folder, _CHANGE


def _list_ports(rules: Rules) -> dict[int, int]:
    rights = dict.fromkeys(rules.connect or (), _CONNECT)
    return rights | {rules.listen: rights.get(rules.listen, 0) | _BIND}


def _allow_path(ruleset: int, path: str | Path, rights: int) -> None:
    """Grant rights on a path and all below it, unless it is not there."""
    # Where a folder to write in should be, a link is a stranger's.
    strict = os.O_DIRECTORY | os.O_NOFOLLOW if rights & _MAKE_REG else 0
    try:
        place = os.open(path, _O_PATH | os.O_CLOEXEC | strict)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        _system_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _control(option: int, value: int) -> None:
    if _LIBC.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))):
        raise OSError(ctypes.get_errno(), "prctl")


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call; raise OSError where it fails."""
    words = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result: int = _LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

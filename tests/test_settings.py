"""Each variable: its default, what it may be, and a sentence that names it when it is something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from github_worker.errors import ConfigurationError
from github_worker.redaction import Secret
from github_worker.settings import Settings, from_env

GIB = 2**30
# variable: field, default, then a text and what it means
READ: dict[str, tuple[str, Any, str, Any]] = {
    "HOST": ("host", "0.0.0.0", "127.0.0.1", "127.0.0.1"),  # noqa: S104 (a default is no binding)
    "PORT": ("port", 5002, " 0 ", 0),
    "TMP_DIR": ("tmp_dir", Path("/tmp"), "/", Path("/")),
    "STORAGE_WORKER_URL": ("storage_worker_url", None, "http://storage:3000/", "http://storage:3000"),
    "STORAGE_URL": ("storage_url", None, "s3://bucket/prefix/", "s3://bucket/prefix"),
    "STORAGE_TIMEOUT": ("storage_timeout", 60.0, "0.5", 0.5),
    "GIT_ALLOWED_HOSTS": (
        "git_allowed_hosts",
        ("github.com",),
        "GitHub.com, http://127.0.0.1:3000/,[::1]:8080,*",
        ("github.com", "http://127.0.0.1:3000", "[::1]:8080", "*"),
    ),
    "GIT_USERNAMES": (
        "git_usernames",
        {},
        "git.example=oauth2, GIT.example:8443=me@x",
        {"git.example": "oauth2", "git.example:8443": "me@x"},
    ),
    "GIT_TIMEOUT": ("git_timeout", 60.0, "86400", 86400.0),
    "GITHUB_API_URL": (
        "github_api_url",
        "https://api.github.com",
        "https://ghe/api/v3/",
        "https://ghe/api/v3",
    ),
    "BRANCH_PREFIX": ("branch_prefix", "webedt/", "bot-", "bot-"),
    "GIT_COMMITTER_NAME": ("committer_name", "GitHub Worker", "Zoë", "Zoë"),
    "GIT_COMMITTER_EMAIL": ("committer_email", "worker@github-worker.local", "a@b", "a@b"),
    "NAMING_MODEL": ("naming_model", "claude-haiku-4-5", "claude-x", "claude-x"),
    "NAMING_TIMEOUT": ("naming_timeout", 15.0, "3", 3.0),
    "ANTHROPIC_BASE_URL": ("anthropic_base_url", None, "https://model", "https://model"),
    "NO_PROXY": ("no_proxy", (), "localhost, .internal", ("localhost", "internal")),
    "JOB_TIMEOUT": ("job_timeout", 900.0, "60", 60.0),
    "MAX_SESSION_BYTES": ("max_session_bytes", 8 * GIB, "512MiB", GIB // 2),
    "MAX_SESSION_FILES": ("max_session_files", 1_000_000, "10", 10),
    "ON_SECRET": ("on_secret", "refuse", "leave-out", "leave-out"),
    "WORKERS": ("workers", None, "4", 4),
    "QUEUE": ("queue", 100, "0", 0),
    "LOG_LEVEL": ("log_level", "info", "DEBUG", "debug"),
    "LOG_FORMAT": ("log_format", "json", "console", "console"),
    "SANDBOX": ("sandbox", "auto", "require", "require"),
    "LFS": ("lfs", False, "on", True),
    "LFS_ALLOWED_HOSTS": (
        "lfs_allowed_hosts",
        ("github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com", "lfs.github.com"),
        "*, Bucket.example:8443",
        ("*", "bucket.example:8443"),
    ),
    "LFS_MAX_BYTES": ("lfs_max_bytes", 2 * GIB, "100MiB", 100 * 2**20),
    "LFS_MAX_OBJECTS": ("lfs_max_objects", 10_000, "5", 5),
}
NOT_SECONDS = ("0", "-1", "1e3", "nan", "86401", "1m")
NOT_A_URL = (
    "github.com",
    "ftp://host",
    "https://",
    "https://host?x=1",
    "https://host/#x",
    "http://host:65536",
)
NOT_A_LINE = ("a\nb", "a <b>", "\x1b[31m", ";,")
WRONG: dict[str, tuple[str, ...]] = {
    "PORT": ("-1", "65536", "http", "5_002", "1.5"),
    "TMP_DIR": ("/no/such/folder", "/dev/null"),
    "STORAGE_WORKER_URL": NOT_A_URL,
    "STORAGE_URL": ("bucket", "ftp://host", "s3://", "http://bucket"),
    "STORAGE_TIMEOUT": NOT_SECONDS,
    "GITHUB_WORKER_TOKEN": ("a,b,c", ","),
    "GIT_USERNAMES": ("oauth2", "git.example=", "=me", "git.example=a:b", "https://git.example=me"),
    "GIT_ALLOWED_HOSTS": (
        ",",
        "github.com/octo",
        "user@github.com",
        "ssh://github.com",
        "git hub",
        "h:65536",
    ),
    "GIT_TIMEOUT": NOT_SECONDS,
    "GITHUB_API_URL": NOT_A_URL,
    "BRANCH_PREFIX": ("-x", "a b/", "refs/", "a..b", "/"),
    "GIT_COMMITTER_NAME": NOT_A_LINE,
    "GIT_COMMITTER_EMAIL": NOT_A_LINE,
    "NAMING_TIMEOUT": NOT_SECONDS,
    "ANTHROPIC_BASE_URL": NOT_A_URL,
    "HTTPS_PROXY": ("proxy:3128", "socks5://proxy:1080", "http://", "http://proxy/path", "http://proxy:x"),
    "JOB_TIMEOUT": NOT_SECONDS,
    "MAX_SESSION_BYTES": ("0", "8 GB", "-1", "1.5 GiB", "much", str(2**63 + 1)),
    "MAX_SESSION_FILES": ("0", "-1", "many", str(2**63 + 1)),
    "ON_SECRET": ("ask", "Refuse", "leave_out"),
    "METRICS_PORT": ("-1", "65536", "x"),
    "WORKERS": ("0", "1001", "-1", "many"),
    "QUEUE": ("-1", "10001", "1.5"),
    "LOG_LEVEL": ("loud",),
    "LOG_FORMAT": ("JSON ", "xml"),
    "SANDBOX": ("on", "Require"),
    "LFS": ("true", "ON", "1"),
    "LFS_ALLOWED_HOSTS": (",", "s3://bucket", "h:65536"),
    "LFS_MAX_BYTES": ("0", "2 GB", "-1"),
    "LFS_MAX_OBJECTS": ("0", "-1", "many"),
}
SECRETS = ("GITHUB_WORKER_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY")
VALUE = "do-not-show-me"


@pytest.mark.parametrize("name", READ)
def test_a_variable_has_a_default_and_may_be_set(name: str) -> None:
    """Unset and empty mean the default; spaces around a value do not count."""
    field, default, text, meaning = READ[name]
    assert getattr(from_env({}), field) == default
    assert getattr(from_env({name: " "}), field) == default
    assert getattr(from_env({name: text}), field) == meaning


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("{tmp}/no%20store", "names the folder '{tmp}/no store', which does not exist"),
        ("{tmp}/a%20file", "names '{tmp}/a file', which is a file"),
        ("tmp/store", "must be file:///folder, the folder's whole path after three slashes"),
        ("", "must be file:///folder, the folder's whole path after three slashes"),
    ],
)
def test_a_store_that_is_no_folder_stops_the_start(tmp_path: Path, path: str, what: str) -> None:
    """A name that is misspelt makes no new folder, in which every session would be missing."""
    (tmp_path / "a file").touch()
    with pytest.raises(ConfigurationError) as wrong:
        from_env({"STORAGE_URL": "file://" + path.format(tmp=tmp_path)})
    assert str(wrong.value).startswith("STORAGE_URL " + what.format(tmp=tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["a file"]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_stops_the_start(name: str, text: str) -> None:
    """The message begins with the variable."""
    with pytest.raises(ConfigurationError, match=f"^{name} "):
        from_env({name: text})


@pytest.mark.parametrize(
    ("name", "text", "meaning"),
    [
        ("PORT", "0", 0),
        ("PORT", "65535", 65535),
        ("MAX_SESSION_FILES", "1", 1),
        ("MAX_SESSION_FILES", str(2**63), 2**63),
        ("MAX_SESSION_BYTES", "1", 1),
        ("MAX_SESSION_BYTES", "8589934592 GiB", 2**63),
        ("JOB_TIMEOUT", "0.001", 0.001),
        ("JOB_TIMEOUT", "86400", 86400.0),
    ],
)
def test_the_ends_of_a_range_are_in_it(name: str, text: str, meaning: float) -> None:
    """What lies beyond them is refused."""
    assert getattr(from_env({name: text}), READ[name][0]) == meaning


@pytest.mark.parametrize("name", [*READ, *SECRETS])
def test_a_value_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    """`NAME_FILE` is read, without the line break at its end."""
    text = READ[name][2] if name in READ else VALUE
    file = tmp_path / "value"
    file.write_text(f"{text}\n")
    assert _plain(from_env({f"{name}_FILE": str(file)})) == _plain(from_env({name: text}))


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_stops_the_start(content: bytes | None, tmp_path: Path) -> None:
    """It is the variable with the file's name that is wrong."""
    file = tmp_path / "value"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^GITHUB_WORKER_TOKEN_FILE cannot be read"):
        from_env({"GITHUB_WORKER_TOKEN_FILE": str(file)})


def test_a_variable_and_its_file_are_not_both_set(tmp_path: Path) -> None:
    """Nobody is left to guess which of them counts."""
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY and ANTHROPIC_API_KEY_FILE"):
        from_env({"ANTHROPIC_API_KEY": VALUE, "ANTHROPIC_API_KEY_FILE": str(tmp_path / "key")})


def test_two_stores_are_one_too_many() -> None:
    """Both are named."""
    with pytest.raises(ConfigurationError, match="STORAGE_WORKER_URL and STORAGE_URL"):
        from_env({"STORAGE_WORKER_URL": "http://storage", "STORAGE_URL": "s3://bucket"})


def test_the_metrics_have_a_port_where_somebody_can_be_asked() -> None:
    """Of its own, in a service that outlives its jobs; what cannot work is told at the start."""
    assert from_env({"WORKERS": "2"}).metrics_port is None
    assert from_env({"WORKERS": "2", "METRICS_PORT": "9464"}).metrics_port == 9464
    with pytest.raises(ConfigurationError, match="set WORKERS too, or leave METRICS_PORT out"):
        from_env({"METRICS_PORT": "9464"})
    with pytest.raises(ConfigurationError, match="METRICS_PORT and PORT are the same"):
        from_env({"WORKERS": "2", "METRICS_PORT": "5002"})


def test_without_a_store_there_is_an_embedded_one() -> None:
    """For trying things out."""
    assert from_env({}).embedded_store
    assert not from_env({"STORAGE_URL": "file:///"}).embedded_store


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_does_not_show(name: str) -> None:
    """Whoever prints the settings learns nothing."""
    settings = from_env({name: VALUE})
    assert VALUE not in f"{settings} {settings!r}"
    assert VALUE in str(_plain(settings))


@pytest.mark.parametrize(
    "name",
    ["GITHUB_WORKER_TOKEN", "STORAGE_WORKER_URL", "STORAGE_URL", "GITHUB_API_URL", "ANTHROPIC_BASE_URL"],
)
def test_an_error_shows_no_secret(name: str) -> None:
    """A value with a password in it is not repeated."""
    with pytest.raises(ConfigurationError) as wrong:
        from_env({name: "ftp://user:password@host, b, c"})
    assert "password" not in str(wrong.value)


def test_two_tokens_are_taken_while_one_replaces_the_other() -> None:
    """Separated by a comma."""
    tokens = from_env({"GITHUB_WORKER_TOKEN": "old-token, new-token"}).worker_tokens
    assert [token.reveal() for token in tokens] == ["old-token", "new-token"]
    assert from_env({}).worker_tokens == ()


def test_the_clouds_variables_go_to_the_store(tmp_path: Path) -> None:
    """All of them as they are, but for those whose own name ends so and names a file of the cloud's."""
    (tmp_path / "key").write_text(VALUE)
    env = {"AWS_REGION": "eu-1", "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "key"), "AWS_CONFIG_FILE": "/x"}
    options = from_env(env | {"GOOGLE_BUCKET": "", "HOME": "/root"}).storage_options
    assert _plain(options) == {"aws_region": "eu-1", "aws_secret_access_key": VALUE}


@pytest.mark.parametrize(
    ("api", "origin"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://API.github.com:443/", "https://github.com"),
        ("https://api.octocorp.ghe.com", "https://octocorp.ghe.com"),
        ("https://github.example.com/api/v3", "https://github.example.com"),
        ("https://api.example.com:8443/api/v3", "https://api.example.com:8443"),
        ("http://api.github.com", "http://api.github.com"),
        ("https://api.github.com.evil.example", "https://api.github.com.evil.example"),
        ("https://api.evil.example/.ghe.com", "https://api.evil.example"),
    ],
)
def test_an_api_speaks_for_one_origin(api: str, origin: str) -> None:
    """GitHub's own has a host beside that of the repositories, an Enterprise server's is below a path."""
    assert from_env({"GITHUB_API_URL": api}).forge_origin == origin


@pytest.mark.parametrize(
    ("hosts", "origin", "allowed"),
    [
        ("github.com", "https://github.com", True),
        ("github.com", "http://github.com", False),
        ("github.com", "https://github.com:8443", False),
        ("github.com", "https://api.github.com", False),
        ("github.com", "https://evil.example", False),
        ("github.com:8443", "https://github.com:8443", True),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000", True),
        ("http://127.0.0.1:3000", "https://127.0.0.1:3000", False),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3001", False),
        ("https://[::1]", "https://[::1]", True),
        ("*", "https://anywhere.example:1", True),
        ("*", "http://anywhere.example", False),
    ],
)
def test_a_token_goes_to_allowed_origins_alone(hosts: str, origin: str, allowed: bool) -> None:
    """A bare host means https and its own port; a scheme allows just that origin."""
    assert from_env({"GIT_ALLOWED_HOSTS": hosts}).allows(origin) is allowed


def _plain(value: Any) -> Any:
    """Return settings with their secrets in clear, to be compared."""
    if isinstance(value, Settings):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value

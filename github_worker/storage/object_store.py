"""Sessions in an object store or a folder, through obstore."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, from_url

from github_worker.errors import ConfigurationError, StorageUnavailable
from github_worker.redaction import Secret, scrub
from github_worker.storage import Download, Entry, SessionChanged, follow_up, read_ahead

if TYPE_CHECKING:
    from collections import deque

    from obstore import GetResult, ObjectMeta, PutMode, PutResult
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Backend

_PART = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
_READ = 1024 * 1024
_RETRIES = 3
_FIRST_PAUSE = timedelta(milliseconds=200)
_LONGEST_PAUSE = timedelta(seconds=2)
# obstore's own limit, 30 s for a transfer, would cut a large session; a job has its deadline.
_TRANSFER = timedelta(days=1)
_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})/session\.tar\.gz")
# Names are listed because obstore refuses one that it does not know, such as AWS_PROFILE.
_NAMES = {
    "s3": """
        aws_access_key_id aws_secret_access_key aws_session_token aws_region aws_default_region
        aws_endpoint aws_endpoint_url aws_virtual_hosted_style_request
        aws_conditional_put aws_checksum_algorithm aws_unsigned_payload aws_skip_signature
        aws_request_payer aws_s3_express aws_disable_tagging
        aws_server_side_encryption aws_sse_kms_key_id aws_sse_bucket_key_enabled aws_sse_customer_key_base64
        aws_imdsv1_fallback aws_metadata_endpoint aws_role_arn aws_role_session_name
        aws_container_credentials_relative_uri aws_container_credentials_full_uri
    """,
    "gs": """
        google_service_account google_service_account_path google_service_account_key
        google_application_credentials google_base_url google_bearer_token google_skip_signature
    """,
    "az": """
        azure_storage_account_name azure_storage_account_key azure_storage_access_key azure_storage_master_key
        azure_storage_sas_key azure_storage_sas_token azure_storage_token azure_storage_use_emulator
        azure_storage_client_id azure_client_id azure_storage_client_secret azure_client_secret
        azure_storage_tenant_id azure_tenant_id azure_storage_authority_host azure_authority_host
        azure_storage_endpoint azure_endpoint azure_msi_endpoint azure_identity_endpoint azure_object_id
        azure_msi_resource_id azure_skip_signature azure_disable_tagging
    """,
}
# What obstore says of an identity that was told in part, by the words that it has for it.
_HALF_TOLD = {
    "Missing SecretAccessKey": "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not",
    "Missing AccessKeyId": "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not",
    "Account must be specified": "AZURE_STORAGE_ACCOUNT_NAME is not set",
}
# Where a cloud's machines ask who they are, which is what happens without keys, and the variables for those.
_METADATA = re.compile(
    r"(?P<S3>/latest/(?:api/token|meta-data))|(?P<GCS>/computeMetadata/)|(?P<Azure>/metadata/identity/)"
)
_KEYS = {
    "S3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "GCS": "GOOGLE_SERVICE_ACCOUNT to a key file",
    "Azure": "AZURE_STORAGE_ACCOUNT_KEY",
}


class ObjectStore:
    """Keeps each session as the object `<sessionId>/session.tar.gz` of a bucket, container or folder."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    def at(cls, url: str, options: Mapping[str, Secret | str], timeout: float) -> ObjectStore:
        """Open `s3://bucket[/prefix]`, `gs://`, `az://` or `file:///folder`; raise ConfigurationError.

        `options` are the cloud's environment variables in lower case, `timeout` is in seconds without a byte.
        """
        try:
            return cls(_open_backend(url, options, timeout))
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(f"STORAGE_URL cannot be used: {_describe(error)}") from None

    @classmethod
    def in_folder(cls, folder: Path) -> ObjectStore:
        """Open a folder that is this user's alone, made where there is none; raise ConfigurationError."""
        try:
            _make_private(folder)
        except OSError as error:
            raise ConfigurationError(f"TMP_DIR cannot be used: {error}") from None
        return cls(LocalStore(folder))

    @contextmanager
    def download(self, session_id: str) -> Iterator[Download | None]:
        """Open a session's archive, or None where there is none; raise StorageUnavailable."""
        result = self._get(session_id)
        if result is None:
            yield None
        else:
            meta = result.meta
            yield Download(
                version=_version(meta),
                size=meta["size"],
                chunks=_read(result),
                modified=meta["last_modified"],
            )

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> str:
        """Replace the archive whole if it still is `version`; raise SessionChanged or StorageUnavailable."""
        first, is_whole = read_ahead(chunks)
        if is_whole and (new := self._put_whole(session_id, first, version)):
            return new
        with _translate_errors(), ExitStack() as stack:
            result = obstore.put(
                self._backend,
                _key(session_id),
                follow_up(first, chunks, partial(self._check, session_id, version, stack)),
                use_multipart=True,
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )
        return _version(result)

    def entries(self) -> Iterator[Entry]:
        """Yield all sessions, page by page as the store lists them; raise StorageUnavailable."""
        with _translate_errors():
            for page in obstore.list(self._backend):
                for meta in page:
                    if match := _KEY.fullmatch(meta["path"]):
                        yield Entry(session_id=match[1], size=meta["size"], modified=meta["last_modified"])

    def delete(self, session_id: str) -> bool:
        """Delete a session, and return whether there was one; raise StorageUnavailable."""
        if self._current(session_id) is None:
            return False
        with _translate_errors(), suppress(FileNotFoundError):
            obstore.delete(self._backend, _key(session_id))
        return True

    def _put_whole(self, session_id: str, chunks: deque[bytes], version: str | None) -> str | None:
        """Put the archive under a condition and return its version, or None where the store has none."""
        key, mode = _key(session_id), _mode(version)
        with _translate_errors():
            try:
                result = obstore.put(self._backend, key, chunks, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                raise SessionChanged(session_id) from None
            except NotImplementedError:
                return None
            except FileNotFoundError as error:
                if version is None or error.errno is not None:
                    raise
                raise SessionChanged(session_id) from None  # S3's word for a condition on what was deleted
        return _version(result)

    def _check(self, session_id: str, version: str | None, stack: ExitStack) -> None:
        """Raise SessionChanged unless the session is `version`; a folder's stays so until `stack` ends."""
        if isinstance(self._backend, LocalStore):
            _lock_session(Path(str(self._backend.prefix)) / session_id, stack)
        # obstore asks for chunks from inside its event loop, and panics when that thread enters it again.
        with ThreadPoolExecutor(1) as thread:
            current = thread.submit(self._current, session_id).result()
        if current != version:
            raise SessionChanged(session_id)

    def _current(self, session_id: str) -> str | None:
        with _translate_errors():
            try:
                return _version(obstore.head(self._backend, _key(session_id)))
            except FileNotFoundError:
                return None

    def _get(self, session_id: str) -> GetResult | None:
        with _translate_errors():
            try:
                return obstore.get(self._backend, _key(session_id))
            except FileNotFoundError:
                return None


def _lock_session(folder: Path, stack: ExitStack) -> None:
    """Keep other processes from saving a session; raise SessionChanged where one is about to."""
    folder.mkdir(exist_ok=True)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, opened)
    try:
        # Not waited for: this thread is obstore's, and the one that saves needs it.
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SessionChanged(folder.name) from None
    except OSError:
        return  # network file systems may have no locks: then the comparison alone counts


def _key(session_id: str) -> str:
    return f"{session_id}/session.tar.gz"


def _version(meta: ObjectMeta | PutResult) -> str:
    # S3 has the word null for what is of no version, and does not always say it.
    version = None if meta["version"] == "null" else meta["version"]
    return msgspec.json.encode([meta["e_tag"], version]).decode()


def _mode(version: str | None) -> PutMode:
    if version is None:
        return "create"
    e_tag, generation = msgspec.json.decode(version)
    # obstore refuses a version that is None, where a missing one is fine
    return {"e_tag": e_tag, "version": generation} if generation else {"e_tag": e_tag}


def _read(result: GetResult) -> Iterator[bytes]:
    with _translate_errors():
        yield from result.stream(min_chunk_size=_READ)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageUnavailable(f"The session storage refuses this worker: {_describe(error)}") from error
    except (BaseError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and error.errno is not None:
            raise  # from `chunks`: obstore's own has a text and no number
        text = _describe(error)
        raise StorageUnavailable(_explain_keys(text) or f"The session storage failed: {text}") from error


def _describe(error: Exception) -> str:
    """Return what obstore says, without its debugging output, the queries of its URLs, and XML's tags."""
    text = str(error).partition("\n\nDebug source")[0]
    text = re.sub(r"<[^>]*>", " ", text)
    text = next((words for theirs, words in _HALF_TOLD.items() if theirs in text), text)
    return " ".join(scrub(re.sub(r"(://[^\s?]+)\?\S+", r"\1", text)).split())


def _explain_keys(text: str) -> str | None:
    """Say what to set where obstore failed to get keys from the machine itself; None for other failures."""
    if (match := _METADATA.search(text)) is None or match.lastgroup is None:
        return None
    return (
        "The session storage needs keys, and this worker has none: "
        f"set {_KEYS[match.lastgroup]}, or run it on a machine that the cloud gives a role"
    )


def _open_backend(url: str, options: Mapping[str, Secret | str], timeout: float) -> Backend:
    """Open what `url` names; raise obstore's errors, OSError or ValueError where it cannot be."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return LocalStore.from_url(url)
    known = _NAMES[scheme].split()
    config: Any = {name: _reveal(value) for name, value in options.items() if name in known}
    client = _client_options(timeout)
    if any(_reveal(value).startswith("http://") for value in options.values()):
        client["allow_http"] = True
    return from_url(url, config=config, client_options=client, retry_config=_retry_options(timeout))


def _make_private(folder: Path) -> None:
    """Make a folder, or close one of this user's to others; raise ConfigurationError for anything else."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise ConfigurationError(f"TMP_DIR has {folder.name}, which is no folder of its own")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(opened).st_uid != os.geteuid():
            raise ConfigurationError(f"TMP_DIR has {folder.name}, which belongs to another user")
        os.fchmod(opened, 0o700)
    finally:
        os.close(opened)


def _reveal(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _client_options(timeout: float) -> ClientConfig:
    silence = timedelta(seconds=timeout)
    return {"connect_timeout": silence, "read_timeout": silence, "timeout": _TRANSFER}


def _retry_options(timeout: float) -> RetryConfig:
    return {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=timeout),
        "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE},
    }

"""How obstore is told where sessions are, as whom to go there, and how long to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import LocalStore, from_url

from github_worker.redaction import Secret

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_RETRIES = 3
_FIRST_PAUSE = timedelta(milliseconds=200)
_LONGEST_PAUSE = timedelta(seconds=2)
# obstore's own limit, 30 s for a transfer, would cut a large session; a job has its deadline.
_TRANSFER = timedelta(days=1)

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


def backend_at(url: str, options: Mapping[str, Secret | str], timeout: float) -> ObjectStore:
    """Open what `url` names; raise obstore's errors, OSError or ValueError where it cannot be."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return LocalStore.from_url(url, mkdir=True)
    known = _NAMES[scheme].split()
    config: Any = {name: _revealed(value) for name, value in options.items() if name in known}
    client = _client(timeout)
    if any(_revealed(value).startswith("http://") for value in options.values()):
        client["allow_http"] = True
    return from_url(url, config=config, client_options=client, retry_config=_retries(timeout))


def _revealed(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _client(timeout: float) -> ClientConfig:
    silence = timedelta(seconds=timeout)
    return {"connect_timeout": silence, "read_timeout": silence, "timeout": _TRANSFER}


def _retries(timeout: float) -> RetryConfig:
    return {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=timeout),
        "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE},
    }

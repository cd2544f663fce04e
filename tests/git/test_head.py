"""What HEAD may name."""

from __future__ import annotations

import pytest

from github_worker.errors import UnsupportedRepository
from tests.git.conftest import Clone


@pytest.mark.parametrize("head", [b"ref: refs/heads/\xff\xfe\n", b"ref: refs/tags/v1\n", b"0" * 40 + b"\n"])
def test_a_head_that_is_no_branch_with_a_name_is_refused(head: bytes, clone: Clone) -> None:
    """The answer is a sentence that can be encoded, whatever bytes the session has there."""
    repository = clone()
    (repository.folder / ".git" / "HEAD").write_bytes(head)
    with pytest.raises(UnsupportedRepository) as refused:
        _ = repository.branch
    assert str(refused.value).isascii()

"""Valid bodies of each endpoint, drawn from the types that decode them."""

from __future__ import annotations

import string
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from github_worker.contract import Request

_URL = st.sampled_from(
    ["https://github.com/octo/demo", "git@github.com:octo/demo.git", "http://127.0.0.1:8080/a.b/c_d/"]
)
_TOKEN = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=40)
# The ways to say the repository, of which a request has one.
_PLACES: dict[str, list[set[str]]] = {
    "create-pull-request": [{"owner", "repo", "head"}, {"repoUrl", "head"}, {"sessionId"}],
    "merge-pull-request": [{"owner", "repo"}, {"repoUrl"}],
    "auto-pull-request": [{"owner", "repo", "branch"}, {"repoUrl", "branch"}, {"sessionId"}],
}


def field_names(kind: type[Request]) -> set[str]:
    """Return the names on the wire, the token's under both of its names."""
    return {field.encode_name for field in msgspec.structs.fields(kind)} | {
        "accessToken",
        "githubAccessToken",
    }


@st.composite
def bodies(draw: st.DrawFn, kind: type[Request], *, whole: bool = False) -> dict[str, Any]:
    """Draw a body that the endpoint takes, each optional field there or not; in a `whole` one all are."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    places = _PLACES.get(kind.operation, [set()])
    present = draw(st.sampled_from(places))
    absent = set().union(*places) - present
    body = {
        field.encode_name: draw(_URL if field.encode_name == "repoUrl" else _values(field.type))
        for field in described.fields
        if field.encode_name not in absent
        and (
            whole
            or field.required
            or field.encode_name in present
            or (field.name == "access_token" and kind.needs_token)
            or draw(st.booleans())
        )
    }
    if kind.operation == "sync-branch":  # each is for one method
        is_rebase = body.get("method") == "rebase"
        body.update({name: False for name in ("forceWithLease", "leaveConflicts") if name in body})
        body |= {"forceWithLease" if is_rebase else "leaveConflicts": draw(st.booleans())}
    return body


def _values(described: inspect.Type) -> st.SearchStrategy[Any]:
    match described:
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern)
        case inspect.StrType(min_length=least):
            return st.text(min_size=least or 0, max_size=300)
        case inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case inspect.BoolType():
            return st.booleans()
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.CustomType():
            return _TOKEN
        case inspect.StructType(fields=fields):
            return st.fixed_dictionaries({field.encode_name: _values(field.type) for field in fields})
        case inspect.UnionType(types=types):
            return st.one_of(*(_values(one) for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(_values(item), min_size=least or 0, max_size=3)
        case inspect.Metadata(type=inner):
            return _values(inner)
    raise NotImplementedError(f"no values of {described}")

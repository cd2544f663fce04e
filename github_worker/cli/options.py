"""The options of a request, made from its type: one source of names, types and help texts."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from github_worker.cli.command import escape
from github_worker.contract import Author, CoAuthor, NewTag, Request
from github_worker.contract.body import flatten

_SHORT = {"session_id": "--session"}  # beside the long name
_PERSON = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<email>[^<>]*)>\s*(?P<timeZone>[+-][0-9:]+)?\s*")
_PEOPLE = {Author: "'NAME <EMAIL> [+HH:MM]'", CoAuthor: "'NAME <EMAIL>'"}


class Option(Struct, frozen=True):
    """One field of a request: `name` is its own, `wire` the one in JSON; without a default it is required.

    `is_switch` is one that may stand without a value, whatever its `kind` is.
    """

    name: str
    wire: str
    kind: inspect.Type
    default: Any
    sentence: str
    example: Any
    is_switch: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The option's names, the first of which is shown."""
        long = "--" + self.name.replace("_", "-")
        return (_SHORT[self.name], long) if self.name in _SHORT else (long,)

    @property
    def is_required(self) -> bool:
        """Whether the request has to have it."""
        return self.default is NODEFAULT


def list_options(kind: type[Request]) -> list[Option]:
    """Return the options of a request, those that it must have first; its secrets are none of them."""
    options = [_make_option(field) for field in _list_fields(kind) if not _is_secret(field)]
    return sorted(options, key=lambda option: (not option.is_required, option.name == "request_id"))


def add_options(parser: argparse.ArgumentParser, kind: type[Request]) -> None:
    """Add the options of a request; what is not given is not in the parser's answer."""
    options = list_options(kind)
    must = parser.add_argument_group("what the job must be told")
    may = parser.add_argument_group("what it may be told")
    for option in options:
        (must if option.is_required else may).add_argument(
            *option.flags,
            dest=option.name,
            required=option.is_required,
            default=argparse.SUPPRESS,
            help=escape(name_options(_describe(option), options)),
            **_choose_action(option),
        )


def read_fields(given: argparse.Namespace, kind: type[Request]) -> dict[str, Any]:
    """Return the fields of a request that were given, by their names there."""
    return {option.name: value for option in list_options(kind) for value in _find(given, option.name)}


def name_options(text: str, options: list[Option]) -> str:
    """Put options in place of the JSON's names that a text has in backticks."""
    flags = {option.wire: option.flags[0] for option in options}
    return re.sub(r"`(\w+)`", lambda match: flags.get(match[1], match[0]), text)


def takes(kind: type[Request], name: str) -> bool:
    """Tell whether a request may have a field of this name."""
    return any(field.name == name for field in _list_fields(kind))


def make_example(kind: type[Request]) -> str:
    """Return a command that runs such a request."""
    options = list_options(kind)
    place = {"session_id"} if takes(kind, "session_id") else {"owner", "repo"}
    shown = [option for option in options if option.is_required or option.name in place]
    words = [word for option in shown for word in (option.flags[0], str(option.example))]
    return f"github-worker run {kind.operation} {shlex.join(words)}"


def _describe(option: Option) -> str:
    more = " May be given more than once." if isinstance(option.kind, inspect.VarTupleType) else ""
    return option.sentence + more


def _list_fields(kind: type[Request]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)  # noqa: S101 (a request is one)
    return described.fields


def _is_secret(field: inspect.Field) -> bool:
    return any(isinstance(one, inspect.CustomType) for one in flatten(field.type))


def _find(given: argparse.Namespace, name: str) -> Iterator[Any]:
    if hasattr(given, name):
        yield getattr(given, name)


def _make_option(field: inspect.Field) -> Option:
    schema = _find_schema(field.type)
    kinds = [one for one in flatten(field.type) if not isinstance(one, inspect.NoneType)]
    return Option(
        name=field.name,
        wire=field.encode_name,
        kind=kinds[-1],
        default=field.default,
        sentence=schema["description"],
        example=schema["examples"][0],
        is_switch=isinstance(kinds[0], inspect.BoolType),
    )


def _find_schema(kind: inspect.Type) -> dict[str, Any]:
    """Return the description and the examples of a field, which may stand inside of `… | None`."""
    if isinstance(kind, inspect.Metadata):
        return kind.extra_json_schema or {}
    assert isinstance(kind, inspect.UnionType)  # noqa: S101 (every field is described)
    return next(_find_schema(one) for one in kind.types if isinstance(one, inspect.Metadata))


def _choose_action(option: Option) -> dict[str, Any]:
    word = option.name.rpartition("_")[2].upper()
    match option.kind:
        case inspect.BoolType():
            both = option.default is not False
            return {"action": argparse.BooleanOptionalAction if both else "store_true"}
        case inspect.IntType():
            return {"type": int, "metavar": word}
        case inspect.LiteralType(values=values) if option.is_switch:
            return {"choices": values, "nargs": "?", "const": True}
        case inspect.LiteralType(values=values):
            return {"choices": values}
        case inspect.VarTupleType(item_type=inspect.StructType() as item):
            return {"action": "append", **_choose_reader(item)}
        case inspect.VarTupleType():
            return {"action": "append", "metavar": word.removesuffix("S")}
        case inspect.StructType():
            return _choose_reader(option.kind)
        case _:
            return {"metavar": word}


def _choose_reader(kind: inspect.StructType) -> dict[str, Any]:
    if kind.cls is NewTag:
        return {"type": _parse_tag, "metavar": "'NAME[: MESSAGE]'"}
    return {"type": _parse_person, "metavar": _PEOPLE[kind.cls]}


def _parse_person(text: str) -> dict[str, str]:
    """Read a person as git writes one, and after it how far the clock is from UTC."""
    match = _PERSON.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be 'Name <address>', not {text!r}")
    return {name: value for name, value in match.groupdict().items() if value is not None}


def _parse_tag(text: str) -> dict[str, str]:
    """Read a tag and its message, between which is what no name has."""
    name, _, message = text.partition(":")
    return {"name": name, "message": message.strip()} if message.strip() else {"name": name}

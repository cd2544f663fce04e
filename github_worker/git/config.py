"""A repository's `.git/config`: the session's own is read for a few facts, never obeyed, never rewritten.

It is read here because libgit2's reader follows `include.path`, by which a session could have any file read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from github_worker.contract import RepositoryUrl
from github_worker.errors import UnsupportedRepository
from github_worker.git.native import read_file
from github_worker.git.patterns import SparseCheckout

# What changes how a file's bytes become a blob, so that libgit2 takes no file for an edited one that is not.
_KEPT = ("filemode", "autocrlf", "eol", "symlinks")
# Extensions of a repository's format that change nothing here (gitrepository-layout(5), git-config(1)).
_EXTENSIONS = {"noop", "noop-v1", "preciousobjects", "worktreeconfig", "objectformat", "refstorage"}
_CORE = """[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logallrefupdates = true
"""
# A push packs new objects alone: few large ones are alike, and to compare each with ten others takes seconds.
_WORKING = """[pack]
	windowmemory = 2097152
[core]
	repositoryformatversion = 0
	bare = false
"""
_HEADS = "refs/heads/"
_REMOTE_URL = re.compile(r"remote\..+\.(?:push)?url", re.DOTALL)
_USER_INFO = re.compile(r"(https?://)[^/]*@", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9]+")
_BLANK = re.compile(r"[ \t\r\n]+|[#;][^\n]*")
_SECTION = re.compile(r'\[([A-Za-z0-9.-]*)(?:[ \t\r]+"((?:[^"\\\n]|\\[^\n])*+)")?\]')
_ESCAPE = r"\\[\ntbn\"\\]"
_VARIABLE = re.compile(
    r"([A-Za-z][A-Za-z0-9-]*)[ \t]*"
    rf'(?:=((?:"(?:[^"\\\n]|{_ESCAPE})*+"|{_ESCAPE}|[^"\\\n#;])*+)(?:[#;][^\n]*)?)?(?:\n|\Z)'
)
_PART = re.compile(r'([ \t\r]+)|"((?:[^"\\]|\\[\s\S])*)"|((?:[^" \t\r\\]|\\[\s\S])+)')
_BACKSLASH = re.compile(r"\\([\s\S])")
_ESCAPED = {"n": "\n", "t": "\t", "b": "\b", "\n": ""}


class RepositoryConfig:
    """The variables of a config, by `section.name` or `section.subsection.name`; includes are not followed.

    Syntax: git-config(1).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._values: dict[str, list[str]] = {}
        for key, value in variables(text):
            self._values.setdefault(key, []).append(value)

    def get(self, key: str) -> str | None:
        """Return a variable's last value; a name without one is `true`."""
        return self._values.get(key, [None])[-1]

    def keys(self, prefix: str) -> list[str]:
        """Return the variables that begin so."""
        return [key for key in self._values if key.startswith(prefix)]

    def is_true(self, key: str, default: bool = False) -> bool:
        """Tell whether a variable is set to a yes, as is any number but 0; `default` is for one not set."""
        value = self.get(key)
        if value is None:
            return default
        return value.lower() in {"true", "yes", "on"} or (value.isdecimal() and int(value[:100]) != 0)

    def has_any(self, prefix: str) -> bool:
        """Tell whether a variable is set whose name begins so."""
        return any(key.startswith(prefix) for key in self._values)

    def check_supported(self) -> None:
        """Raise UnsupportedRepository for what would be misread here, or is not read at all."""
        if (self.get("extensions.objectformat") or "sha1").lower() != "sha1":
            raise UnsupportedRepository("SHA-256 repositories are not supported")
        if (self.get("extensions.refstorage") or "files").lower() != "files":
            raise UnsupportedRepository("The repository keeps its refs in a format that is not supported")
        if self.get("extensions.partialclone"):
            raise UnsupportedRepository("Partial clones are not supported: objects are missing")
        if (version := self.get("core.repositoryformatversion") or "0") not in {"0", "1"}:
            raise UnsupportedRepository(
                f"The repository's format has the version {version[:20]!r}: git knows 0 and 1"
            )
        asked = {key.removeprefix("extensions.") for key in self._values if key.startswith("extensions.")}
        for name in ("excludesFile", "attributesFile"):
            if self.get(f"core.{name.lower()}"):
                raise UnsupportedRepository(f"The config sets core.{name}, a file that is not read")
        if version == "1" and (unknown := sorted(asked - _EXTENSIONS)):
            raise UnsupportedRepository(
                f"The repository has an extension that is not known: {unknown[0][:100]}"
            )

    def has_upstream(self, branch: str) -> bool:
        """Tell whether `branch` is said to follow another, or to belong to a remote."""
        return any(self.get(f"branch.{branch}.{name}") for name in ("merge", "remote"))

    def upstream(self, branch: str) -> str | None:
        """Return the branch of origin that `branch` follows, None if it follows none there."""
        merge = self.get(f"branch.{branch}.merge") or ""
        is_ours = self.get(f"branch.{branch}.remote") == "origin" and merge.startswith(_HEADS)
        return merge.removeprefix(_HEADS) if is_ours else None

    def tracking(self, branch: str) -> RepositoryConfig:
        """Return this config with `branch` following its namesake on origin, all else byte for byte.

        A file that git refuses comes back as it is.
        """
        followed = "" if self.get(f"branch.{branch}.merge") else _write_upstream(branch)
        known = {"*", branch} & {
            _strip_refspec(refspec) for refspec in self._values.get("remote.origin.fetch", ())
        }
        fetched = "" if known else f'[remote "origin"]\n\tfetch = {_write_refspec(branch)}\n'
        return self._append(fetched + followed)

    def with_submodule(self, name: str, url: str) -> RepositoryConfig:
        """Return this config with a submodule begun as by `git submodule init`, all else byte for byte.

        A file that git refuses comes back as it is, and so does one that has the submodule.
        """
        if self.get(f"submodule.{name}.url"):
            return self
        words = f"\tactive = true\n\turl = {_write_value(url)}\n"
        return self._append(f"[submodule {_quote(name)}]\n{words}")

    def _append(self, added: str) -> RepositoryConfig:
        """Return this config with more at its end, or as it is where nothing can follow."""
        if not added:
            return self
        # The last line may go on, or git may refuse the file: then nothing can follow.
        meant = [*variables(self.text), *variables(added)]
        joined = (self.text + end + added for end in self._ends())
        return next((RepositoryConfig(text) for text in joined if [*variables(text)] == meant), self)

    def without_credentials(self) -> RepositoryConfig:
        """Return this config with no user and password in the remotes' URLs, all else byte for byte."""
        text = self.text
        for key, value in variables(text):
            if _REMOTE_URL.fullmatch(key) and (found := _USER_INFO.match(value)):
                text = text.replace(found[0], found[1])
        return RepositoryConfig(text)

    def _ends(self) -> tuple[str, ...]:
        return ("", "\n") if not self.text or self.text.endswith("\n") else ("\n", "\n\n")

    def working(self, url: RepositoryUrl) -> str:
        """Return the config that libgit2 works by: origin and the kept words of this one, nothing else."""
        kept = {name: self.get(f"core.{name}") for name in _KEPT}
        words = [f"\t{name} = {word}\n" for name, word in kept.items() if word and _WORD.fullmatch(word)]
        return f"{_WORKING}{''.join(words)}{_write_origin(url, '*')}"


def strip_user_info(url: str) -> str:
    """Return an http URL without the user and the password that it may begin with."""
    return _USER_INFO.sub(r"\1", url, count=1) if _USER_INFO.match(url) else url


def config_of_clone(
    url: RepositoryUrl | str, branch: str, *, single: bool, worktree: str | None = None
) -> RepositoryConfig:
    """Return the config that `git clone` leaves: origin, and `branch` following it.

    `worktree` is where a submodule's files are, from its folder in `.git/modules`.
    """
    core = _CORE if worktree is None else f"{_CORE}\tworktree = {_write_value(worktree)}\n"
    return RepositoryConfig(core + _write_origin(url, branch if single else "*") + _write_upstream(branch))


def variables(text: str) -> Iterator[tuple[str, str]]:
    """Yield `section.name` or `section.subsection.name`, and the value; a name without one is `true`.

    Ends where git would refuse the file; includes are not followed.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n") + "\n"
    prefix, at = "", 0
    while found := _SECTION.match(text, at) or _VARIABLE.match(text, at) or _BLANK.match(text, at):
        at = found.end()
        if found.re is _SECTION:
            prefix = _parse_section(found[1], found[2])
        elif found.re is _VARIABLE:
            yield prefix + found[1].lower(), "true" if found[2] is None else _parse_value(found[2])


class Rules(Struct, frozen=True, kw_only=True):
    """The rules of a worktree: core.fileMode, core.symlinks and so on, and the texts of `info/`."""

    filemode: bool = True
    symlinks: bool = True
    ignore_case: bool = False
    autocrlf: str | None = None
    eol: str | None = None
    refuses_conversion: bool = False  # core.safecrlf: where text would not come back as it is
    sparse: SparseCheckout = SparseCheckout(None)
    exclude: bytes = b""
    attributes: bytes = b""

    @property
    def may_convert(self) -> bool:
        """Whether text may be converted without any attribute that says so."""
        return (self.autocrlf or "false").lower() not in {"false", "no", "off", "0", ""}


def read_rules(git: Path, config: RepositoryConfig, sparse_checkout: bytes | None) -> Rules:
    """Read the rules of the worktree whose `.git` folder is given.

    `sparse_checkout` is the content of `info/sparse-checkout`, which is obeyed where the config says so.
    """
    is_sparse = config.is_true("core.sparsecheckout")
    return Rules(
        filemode=config.is_true("core.filemode", default=True),
        symlinks=config.is_true("core.symlinks", default=True),
        ignore_case=config.is_true("core.ignorecase"),
        autocrlf=config.get("core.autocrlf"),
        eol=config.get("core.eol"),
        refuses_conversion=config.is_true("core.safecrlf"),
        sparse=SparseCheckout(sparse_checkout if is_sparse else None),
        exclude=_read_optional(git / "info" / "exclude"),
        attributes=_read_optional(git / "info" / "attributes"),
    )


def _write_origin(url: RepositoryUrl | str, branch: str) -> str:
    refspec = _write_refspec(branch)
    return f'[remote "origin"]\n\turl = {url}\n\tfetch = {refspec}\n'


def _write_refspec(branch: str) -> str:
    return _write_value(f"+refs/heads/{branch}:refs/remotes/origin/{branch}")


def _strip_refspec(refspec: str) -> str:
    return refspec.removeprefix("+").partition(":")[0].removeprefix("refs/heads/")


def _write_upstream(branch: str) -> str:
    return f"[branch {_quote(branch)}]\n\tremote = origin\n\tmerge = {_write_value(f'refs/heads/{branch}')}\n"


def _write_value(text: str) -> str:
    return text if re.fullmatch(r'[^"#;\\]*', text) and text == text.strip() else _quote(text)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parse_section(name: str, subsection: str | None) -> str:
    plain = "" if subsection is None else _BACKSLASH.sub(r"\1", subsection) + "."
    return f"{name.lower()}.{plain}"


def _parse_value(raw: str) -> str:
    """Return the value without its quotes and the white space around it."""
    value = pending = ""
    for space, quoted, plain in _PART.findall(raw):
        if space:
            pending += space if value else ""
        else:
            value += pending + _BACKSLASH.sub(_unescape, quoted or plain)
            pending = ""
    return value


def _unescape(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[1])


def _read_optional(file: Path) -> bytes:
    try:
        return read_file(file)
    except OSError:
        return b""

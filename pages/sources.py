"""`python -m pages.sources FOLDER`: writes what the site is built of, which is docs/ and more.

The pages that stand at the root come with them, `docs/deploy.md` in a text becomes a link to that page, the
tests that a row names are folded away, and the client's page gets the tables of its results.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from github_worker.contract import REQUESTS
from github_worker.web.openapi import description
from pages import api

ROOT = Path(__file__).parents[1]
EXAMPLES = "examples.md"
AT_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_NAME = re.compile(r"(?<!\[)`(?:docs/)?((?:[a-z]+|CHANGELOG|CONTRIBUTING|SECURITY)\.md)`")
_LINK = re.compile(r"\]\((?:docs/|\.\./)")
_TESTS = re.compile(r"\| ((?:`[\w/]+\.py::\w+`(?:, )?)+) \|$", re.MULTILINE)
_WIDE = {"performance.md"}  # tables of nine columns
_RESULTS = "<!-- results -->"
_RESULT_NAMES = {kind.result.__name__ for kind in REQUESTS.values()}


def write(folder: Path) -> None:
    """Write all of it into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    (folder / "api.md").write_text(api.current())
    shutil.copy(ROOT / "examples" / "README.md", folder / EXAMPLES)
    for name in AT_THE_ROOT:
        shutil.copy(ROOT / name, folder)
    pages = {path.name: path.read_text() for path in folder.glob("*.md")}
    for name, text in pages.items():
        led = _LINK.sub("](", text.replace("](../examples/README.md)", f"]({EXAMPLES})"))
        linked = _NAME.sub(lambda match: _link(match, pages), led)
        head = "---\nhide: [toc]\n---\n\n" if name in _WIDE else ""
        page = _TESTS.sub(_fold, linked).replace(_RESULTS, "".join(_results()))
        (folder / name).write_text(head + page)


def _link(match: re.Match[str], pages: dict[str, str]) -> str:
    """Name a page by its title, and lead to it; leave a file alone that is no page."""
    name = match[1]
    return f"[{_title(pages[name])}]({name})" if name in pages else match[0]


def _fold(match: re.Match[str]) -> str:
    """Let a row say how many tests show it, and which on a click."""
    tests = match[1].strip("`").split("`, `")
    names = "".join(f"<li><code>{test}</code></li>" for test in tests)
    count = f"{len(tests)} tests" if len(tests) > 1 else "1 test"
    return f'| <details class="tests"><summary>{count}</summary><ul>{names}</ul></details> |'


def _title(page: str) -> str:
    return page.partition("\n")[0].removeprefix("# ")


def _results() -> Iterator[str]:
    """Write the results with the names that they have in Python."""
    schemas = msgspec.json.decode(description())["components"]["schemas"]
    for name, schema in schemas.items():
        if name in _RESULT_NAMES:
            yield f"\n### {name}\n\n{_in_python(schema['description'])}\n"
            yield "\n| attribute | what it is | meaning |\n| --- | --- | --- |\n"
            for field, kind, meaning in api.fields(schema, schemas):
                yield f"| `{_snake(field)}` | {_in_python(kind)} | {_in_python(meaning)} |\n"


def _in_python(text: str) -> str:
    """Put fields and constants in Python's spelling."""
    text = " ".join(text.split()).replace("`true` or `false`", "`True` or `False`")
    text = re.sub(r"`null`|\bnull\b", "`None`", text)
    return re.sub(r"`[a-z]+[A-Z][A-Za-z]*`", lambda match: _snake(match[0]), text)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


if __name__ == "__main__":
    write(Path(sys.argv[1]))

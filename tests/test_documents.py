"""What the documents say, held against the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from github_worker.contract import REQUESTS, Stage
from github_worker.errors import Refusal
from github_worker.settings import from_env
from github_worker.web.openapi import description
from pages import api, sources

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs/configuration.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CODE = re.compile(r"`([^`]+)`")
WITHOUT_DEFAULT = {
    "GIT_USERNAMES",
    "STORAGE_WORKER_URL",
    "STORAGE_URL",
    "GITHUB_WORKER_TOKEN",
    "GIT_SIGNING_KEY",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_REPOSITORIES",
    "GIT_SIGNING_PASSPHRASE",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "HTTPS_PROXY",
    "NO_PROXY",
    "WORKERS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "METRICS_PORT",
}


class Recorder(dict[str, str]):
    """An empty environment that remembers which variables it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # of one kind
        """Remember the name."""
        self.asked.add(name.removesuffix("_FILE"))
        return default


def rows(document: Path, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of a document's tables whose first heading this is."""
    for table in document.read_text().split(f"| {heading} |")[1:]:
        for line in takewhile(lambda line: line.startswith("|"), table.splitlines()[2:]):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def documented_variables() -> Mapping[str, str | None]:
    """Return the variables of the page on the configuration, with their defaults."""
    found: dict[str, str | None] = {}
    for variables, default, *_ in rows(CONFIGURATION, "variable"):
        names, defaults = CODE.findall(variables), CODE.findall(default)
        each = defaults if len(defaults) == len(names) else [*defaults, None][:1] * len(names)
        found |= dict(zip(names, each, strict=True))
    return found


def anchors(document: Path) -> set[str]:
    """Return what the headings of a document are called in links."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_page_lists_the_variables_that_are_read() -> None:
    """Not one more, and not one less."""
    env = Recorder()
    from_env(env)
    assert documented_variables().keys() == env.asked


@pytest.mark.parametrize("name", documented_variables())
def test_a_default_is_what_the_page_says(name: str) -> None:
    """To set a variable to its default is to leave it out; those without one are known."""
    default = documented_variables()[name]
    assert (default is None) == (name in WITHOUT_DEFAULT)
    assert default is None or from_env({name: default}) == from_env({})


def test_the_readme_lists_the_endpoints() -> None:
    """Each is there, with required fields that are fields of it."""
    endpoints = {
        CODE.findall(row[0])[0].removeprefix("POST /"): row[2]
        for row in rows(README, "endpoint")
        if "POST" in row[0]
    }
    assert endpoints.keys() == REQUESTS.keys()
    for operation, fields in endpoints.items():
        names = {field.encode_name for field in msgspec.structs.fields(REQUESTS[operation])}
        required = {
            field.encode_name for field in msgspec.structs.fields(REQUESTS[operation]) if field.required
        }
        assert required <= set(CODE.findall(fields)) <= names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_to_is_there(document: Path) -> None:
    """Endpoints are endpoints, and paths are paths."""
    text = document.read_text()
    assert set(re.findall(r"POST /([a-z-]+)", text)) <= REQUESTS.keys()
    folders = ("github_worker", "clients", "tests", "scripts", "examples", "docs", "bench", ".ci")
    paths = {
        code for code in CODE.findall(text) if code.startswith(tuple(f"{folder}/" for folder in folders))
    }
    assert {path for path in paths if not (ROOT / path.split()[0].split("::")[0]).exists()} == set()


def test_the_page_of_the_api_is_the_services_own_description() -> None:
    """What `scripts/docs` made of it is what it would make now; run it after a change of the contract."""
    assert (ROOT / "docs/api.md").read_text() == api.current()


def test_the_page_of_the_api_has_every_field_and_code() -> None:
    """Nothing that is in the description is left out of the page."""
    spec = json.loads(description())
    text = api.page(spec)
    fields = {name for schema in spec["components"]["schemas"].values() for name in schema["properties"]}
    codes = {*spec["x-error-codes"], *(refusal.code for refusal in Refusal.__subclasses__())}
    lines = [line for line in text.splitlines() if line.startswith(("| ", "- "))]
    names = {name for line in lines for cell in CODE.findall(line) for name in cell.split(".")}
    assert fields - {"type", "source"} | codes | set(get_args(Stage)) <= names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_leads_to_a_file(document: Path) -> None:
    """What a page links to within the repository is there, headings too."""
    for target, anchor in re.findall(r"\]\(([\w./-]*\.\w+)?(?:#([\w-]+))?\)", document.read_text()):
        path = document.parent / target if target else document
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path), anchor


def test_every_page_is_in_the_sites_navigation() -> None:
    """Those of docs/ and those of the root that the site has too; a page that is in no menu is not found."""
    shown = set(re.findall(r"^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert shown == {*pages, *sources.AT_THE_ROOT, sources.EXAMPLES}

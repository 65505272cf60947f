"""README.md and docs/ say what the code says, and each link in them leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import grimp
import pytest

from reconciler import __version__
from reconciler.cli.main import cli
from reconciler.model.status import ConditionType, Phase
from reconciler.planning.describe import said
from reconciler.planning.floor import FIXED
from tests.tables import GENERATED, PAGES, ROOT, TABLES, renewed

README_BYTES_MAX = 14_000
"""It is read in five minutes."""

VALUES = {f"reconciler.model.{name}" for name in ("desired", "world", "rendered", "plan", "output", "status")}
"""The kinds of value that one file hands to another."""

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"(?:`|^\$ |run: |bin/)reconciler ([^`|>#\n]+)", re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_tables_are_those_of_the_code(page: Path) -> None:
    """`make docs` would change nothing."""
    assert page.read_text() == renewed(page.read_text())


def test_each_table_is_shown_once() -> None:
    """What is generated has its place, and one alone."""
    shown = [name for page in PAGES for _, name, _ in GENERATED.findall(page.read_text())]
    assert sorted(shown) == sorted(TABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading in it."""
    assert [link for link in _links(page) if not _leads(page, *link)] == []


def _links(page: Path) -> Iterator[tuple[str, str]]:
    for path, banner in LINK.findall(page.read_text()):
        if not path.startswith("https://"):
            yield path, banner


def _leads(page: Path, path: str, banner: str) -> bool:
    target = page.parent / path if path else page
    return target.exists() and (not banner or banner in map(_anchor, HEADING.findall(target.read_text())))


def _anchor(banner: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", banner).lower().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_and_option_is_there(page: Path) -> None:
    """In text, in blocks and in workflows: what is shown of `reconciler`, it has."""
    context = click.Context(cli)
    for shown in COMMAND.findall(page.read_text()):
        words = shown.split()
        commands = [command for word in words if (command := cli.get_command(context, word))]
        assert len(commands) == 1 or words[0] == "--version", shown
        known = {name for command in (cli, *commands) for option in command.params for name in option.opts}
        assert [word for word in words if word.startswith("-") and word not in known] == [], shown


def test_the_changelog_begins_with_this_version() -> None:
    """Whose number is in `reconciler/__init__.py`, and in no other place of the code."""
    assert re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == __version__


def test_the_readme_is_short() -> None:
    """What takes longer is in docs/."""
    assert len((ROOT / "README.md").read_bytes()) < README_BYTES_MAX


def _table(page: str, banner: str) -> dict[str, str]:
    """The first table below a heading: its first two columns, without the marks of code."""
    text = (ROOT / "docs" / page).read_text()
    rows = text[text.index(f"\n{banner}\n") :].partition("\n|")[2].partition("\n\n")[0].splitlines()[2:]
    cells = ([cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows)
    return {first: second for first, second, *_ in cells}


def _journeys() -> dict[str, list[str]]:
    """The modules of each journey, by its title: of each step the file that begins it."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    journeys = page[page.index("## Five journeys") : page.index("## Glossary")].split("\n### ")[1:]
    steps = {journey.partition("\n")[0]: re.findall(r"^\d+\. (\S*)", journey, re.MULTILINE) for journey in journeys}
    return {
        title: [f"reconciler/{file.strip('`').removesuffix('.py')}".replace("/", ".") for file in files]
        for title, files in steps.items()
    }


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("reconciler")


def _meet(graph: grimp.ImportGraph, before: list[str], there: str) -> bool:
    """Whether the next file of a journey has it from those before."""
    imports = {one: graph.find_modules_directly_imported_by(one) for one in (*before, there)}
    if any(there in imports[one] or one in imports[there] for one in before):
        return True
    last, callers = before[-1], graph.find_modules_that_directly_import
    return bool(callers(last) & callers(there) or VALUES & imports[last] & imports[there])


@pytest.mark.parametrize("title", _journeys())
def test_each_journey_goes_from_file_to_file_and_none_turns_back(title: str, graph: grimp.ImportGraph) -> None:
    """A file calls the next or is called by it, one calls both, or both know the value that is handed on."""
    modules = _journeys()[title]
    assert len(modules) > 5
    assert [one for one in modules if one not in graph.modules or modules.count(one) > 1] == []
    gaps = [there for step, there in enumerate(modules) if step and not _meet(graph, modules[:step], there)]
    assert gaps == []


def test_there_are_five_journeys() -> None:
    """As the page says."""
    assert len(_journeys()) == 5


def test_the_floor_is_the_specs() -> None:
    """Each setting that no sandbox can change, with its value."""
    assert _table("security.md", "## The floor") == {knob: said(knob, value) for knob, value in FIXED.items()}


def test_every_phase_and_condition_is_explained() -> None:
    """In the order in which the code names them."""
    assert set(_table("operations.md", "### Phases")) == set(Phase)
    assert list(_table("operations.md", "### Conditions")) == list(ConditionType)

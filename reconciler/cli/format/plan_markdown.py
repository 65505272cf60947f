"""A plan for a comment in a pull request."""

import re
from collections.abc import Iterator

from reconciler.cli.format.plan_entries import ALARMING, Entry


def lines(entries: list[Entry], summary: str, note: str = "") -> Iterator[str]:
    """The summary, the note, a table with a row for each sandbox, and what changes in each of them, collapsed."""
    yield f"**{summary}**"
    if note:
        yield ""
        yield "> [!NOTE]"
        yield f"> {escaped(note)}."
    alarms = [entry for entry in entries if entry.does in ALARMING]
    if alarms:
        yield ""
        yield "> [!CAUTION]"
        yield f"> Not accepted, or on hold: {', '.join(_code(entry.name) for entry in alarms)}."
    if entries:
        yield ""
        yield "| sandbox | what | why |"
        yield "|---|---|---|"
    for entry in entries:
        yield f"| {_code(entry.name)} | **{entry.does}** | {escaped(entry.why)} |"
    for entry in entries:
        if entry.changes or entry.problems:
            yield from _details(entry)


def _details(entry: Entry) -> Iterator[str]:
    yield ""
    yield f"<details{' open' if entry.problems else ''}><summary>{entry.does} {_code(entry.name)}</summary>"
    yield ""
    if entry.changes:
        yield "| field | old | new |"
        yield "|---|---|---|"
    for change in entry.changes:
        yield f"| {' | '.join(map(_code, change))} |"
    for problem in entry.problems:
        yield f"- {escaped(problem)}"
    yield ""
    yield "</details>"


def escaped(text: str) -> str:
    """The text itself, as Markdown: no markup, no link, and nobody is mentioned by it."""
    plain = re.sub(r"[&<>`*_~|\\\[\]#$@]|:(?=//)", lambda found: f"&#{ord(found[0])};", text)
    return re.sub(r"(&#(?:35|64);)(?=\w)", r"\1&#8203;", plain)


def _code(text: str) -> str:
    return f"<code>{escaped(text)}</code>" if text else ""

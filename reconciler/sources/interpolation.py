"""The `$` in a text, which means what it does in Compose; and the file of variables that `import` puts there."""

import re
from dataclasses import dataclass, field

from reconciler.spec.mistake import Mistake

VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*(\$)(?=[A-Za-z_{])")
"""The group is the `$` for which Compose would put a value."""

_DOLLAR = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\{)")
_BRACED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<colon>:?)(?P<operator>[-+?])(?P<word>.*))?", re.DOTALL)

_STATEMENT = re.compile(
    r"""[ \t]*(?:(?:export[ \t]+)?(?P<name>[\w.-]+)[ \t]*
    (?:[=:][ \t]*(?:'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<plain>(?:[^'"\s].*)?)))?)?
    [ \t]*(?:\#.*)?(?:\n|\Z)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def literal(text: str) -> str:
    """The text with `$` for each `$$`; raises `Mistake` where Compose would put the value of a variable.

    Every other `$` stands for itself, as in Compose: `$5`, `$(date)`, `^a$`.
    """
    if VARIABLE.search(text):
        raise Mistake(
            "a variable stands here, and there is no interpolation", "write its value, or `$$` for a dollar sign"
        )
    return text.replace("$$", "$")


@dataclass
class Variables:
    """Puts values in the place of variables, by all of Compose's forms; `unset` collects those that have none."""

    values: dict[str, str] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)

    def resolve(self, text: str) -> str:
        """Raises `Mistake` for what is no form, and for a variable that is required."""
        parts, at = [], 0
        while found := _DOLLAR.search(text, at):
            parts.append(text[at : found.start()])
            at = found.end()
            if found["dollar"]:
                parts.append("$")
            elif found["name"]:
                parts.append(self._value(found["name"]))
            else:
                end = _closing(text, at)
                parts.append(self._braced(text[at:end]))
                at = end + 1
        return "".join([*parts, text[at:]])

    def _value(self, name: str) -> str:
        if name not in self.values:
            self.unset.add(name)
        return self.values.get(name, "")

    def _braced(self, inner: str) -> str:
        match = _BRACED.fullmatch(inner)
        if match is None:
            raise Mistake("this is no variable of Compose", "write such as ${NAME} or ${NAME:-default}, or `$$`")
        name, word = match["name"], match["word"] or ""
        given = bool(self.values.get(name)) if match["colon"] else name in self.values
        match match["operator"]:
            case "+":
                return self.resolve(word) if given else ""
            case "-" if not given:
                return self.resolve(word)
            case "?" if not given:
                raise Mistake(f"the variable {name} is required", self.resolve(word) or "give it in the env file")
        return self._value(name)


def _closing(text: str, at: int) -> int:
    """Where the brace closes that opened before `at`."""
    depth = 1
    for index in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return index
    raise Mistake("a `${` has no `}`", "close it, or write `$$` for a dollar sign")


def read_variables(text: str) -> Variables:
    """The variables of an env file, such as `.env`, as Compose reads it; raises `Mistake`."""
    variables, at, text = Variables(), 0, text.replace("\r\n", "\n")
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if found is None:
            raise Mistake(f"line {text.count(chr(10), 0, at) + 1} is not NAME=VALUE")
        at = found.end()
        if found["single"] is not None:
            variables.values[found["name"]] = found["single"].replace("\\'", "'")
        elif found["double"] is not None:
            escaped = _ESCAPE.sub(lambda one: _ESCAPED.get(one[1], one[0]), found["double"])
            variables.values[found["name"]] = variables.resolve(escaped)
        elif found["plain"] is not None:
            variables.values[found["name"]] = variables.resolve(found["plain"].partition(" #")[0].rstrip())
    variables.unset.clear()
    return variables

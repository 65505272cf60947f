"""The events of a YAML text, from PyYAML's scanner and parser; dangerous features are refused at once.

Nothing here calls PyYAML's constructors or its C code, which a deep document crashes.
"""

import re
from typing import Any, NoReturn, cast

from yaml.error import Mark, MarkedYAMLError
from yaml.events import Event
from yaml.parser import Parser
from yaml.scanner import Scanner
from yaml.tokens import ScalarToken

DEPTH_MAX = 20
EVENTS_MAX = 1000

SPACES_AND_COMMENT = re.compile(r" *(?:#[^\0\n]*)?")
BLANKS = re.compile(r"[ \t]*")
WORD = re.compile(r"(?:[^\0 \t\n:]|:(?![\0 \t\n]))+")
WORD_IN_FLOW = re.compile(r"(?:[^\0 \t\n:,?[\]{}]|:(?![\0 \t\n,[\]{}]))+")


class _Characters:
    """What PyYAML's scanner reads from. Its own `Reader` looks at every character for one of seven line breaks, which
    takes a tenth of a second for the worst files; here, lines end with `\\n` alone. All positions count from 0.
    """

    def __init__(self, text: str) -> None:
        self.buffer = text + "\0"
        self.pointer = self.index = self.line = self.column = 0
        self.encoding = None

    def peek(self, index: int = 0) -> str:
        return self.buffer[self.pointer + index]

    def prefix(self, length: int = 1) -> str:
        return self.buffer[self.pointer : self.pointer + length]

    def forward(self, length: int = 1) -> None:
        start, end = self.pointer, self.pointer + length
        self.pointer = self.index = end
        if breaks := self.buffer.count("\n", start, end):
            self.line += breaks
            self.column = end - self.buffer.rindex("\n", start, end) - 1
        else:
            self.column += length

    def scan_line_break(self) -> str:
        if self.buffer[self.pointer] != "\n":
            return ""
        self.pointer = self.index = self.pointer + 1
        self.line += 1
        self.column = 0
        return "\n"

    def get_mark(self) -> Mark:
        return Mark("", self.index, self.line, self.column, None, 0)


def start(event: Event) -> Mark:
    """Where an event begins; it always has a mark, which the types do not say."""
    return cast("Mark", event.start_mark)


class Events(_Characters, Scanner, Parser):
    """Gives events one after another; raises MarkedYAMLError, whose `note` is a hint, and ValueError for bad escapes.

    The scanner runs ahead of the parser by a line, so what it must not even begin is refused there.
    """

    def __init__(self, text: str, events_max: int) -> None:
        _Characters.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.taken, self._events_max = 0, events_max
        self._next: type | None = None

    def take(self) -> Event:
        self.count(1)
        return cast("Event", self.get_event())  # type: ignore[no-untyped-call]

    def count(self, events: int, mark: Mark | None = None) -> None:
        """Refuses more than the most; an alias is at `mark`, and counts as all that it repeats."""
        self.taken += events
        if self.taken > self._events_max:
            self.refuse(
                f"the file has more than {self._events_max} values", "repeat less" if mark else "split it", mark
            )

    def refuse(self, problem: str, hint: str, mark: Mark | None = None) -> NoReturn:
        raise MarkedYAMLError(problem=problem, problem_mark=mark or self.get_mark(), note=hint)

    def check_token(self, *choices: Any) -> bool:
        """As PyYAML's, which is asked six times an event: only the first time there may be more to scan."""
        if self._next is None:
            self._next = type(self.peek_token())  # type: ignore[no-untyped-call]
        return self._next in choices

    def get_token(self) -> Any:
        """As PyYAML's, which looks for more to scan again."""
        if self._next is None:
            self.peek_token()  # type: ignore[no-untyped-call]
        self._next = None
        self.tokens_taken += 1
        return self.tokens.pop(0)

    def need_more_tokens(self) -> bool:
        """Also when the next token may turn out to be a key, whose mark comes before it."""
        if self.done or not self.tokens:
            return not self.done
        if not self.possible_simple_keys:
            return False
        self.stale_possible_simple_keys()
        return bool(self.next_possible_simple_key() == self.tokens_taken)  # type: ignore[no-untyped-call]

    def scan_to_next_token(self) -> None:
        """As PyYAML's, but tabs separate too, as YAML says: everywhere but before what begins a line."""
        while True:
            if self.peek() in " #":
                self.forward(self._length(SPACES_AND_COMMENT))
            if self.scan_line_break():
                self.allow_simple_key = self.allow_simple_key or not self.flow_level
            elif self.peek() != "\t":
                return
            else:
                length = self._length(BLANKS)
                begins = not self.buffer[self.pointer - self.column : self.pointer].strip(" ")
                if begins and self.peek(length) not in "#\n\0":
                    return
                self.forward(length)
                self.allow_simple_key = self.allow_simple_key and self.flow_level > 0

    def scan_plain(self) -> ScalarToken:
        """As PyYAML's, but by the word, not by the character."""
        start = end = self.get_mark()
        word, indent = WORD_IN_FLOW if self.flow_level else WORD, self.indent + 1
        text, blanks = "", [""]
        while blanks and self.peek() != "#" and (found := word.match(self.buffer, self.pointer)):
            self.allow_simple_key = False
            text += "".join(blanks) + found[0]
            self.forward(len(found[0]))
            end = self.get_mark()
            blanks = self.scan_plain_spaces(indent, start)
            if self.column < indent and not self.flow_level:
                break
        return ScalarToken(text, plain=True, start_mark=start, end_mark=end)

    def scan_plain_spaces(self, indent: int, start_mark: Mark) -> Any:
        """As PyYAML's, but with tabs between words and at the end of a line."""
        if self.peek() not in " \t\n":
            return []
        blanks = self.prefix(self._length(BLANKS))
        if "\t" not in blanks:
            return super().scan_plain_spaces(indent, start_mark)
        self.forward(len(blanks))
        return [blanks] if self.peek() != "\n" else super().scan_plain_spaces(indent, start_mark)

    def _length(self, pattern: re.Pattern[str]) -> int:
        """Of what follows and is such; the pattern matches nothing too."""
        return cast("re.Match[str]", pattern.match(self.buffer, self.pointer)).end() - self.pointer

    def fetch_flow_collection_start(self, token_class: type) -> None:
        if self.flow_level >= DEPTH_MAX:
            self.refuse(f"more than {DEPTH_MAX} levels", "nest less deeply")
        super().fetch_flow_collection_start(token_class)

    def fetch_directive(self) -> None:
        self.refuse("directives are not allowed", "leave the line that begins with '%' out")

    def fetch_tag(self) -> None:
        self.refuse("tags are not allowed", "leave it out, or quote a text that begins with '!'")

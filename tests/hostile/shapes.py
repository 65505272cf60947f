"""Files as large as they may be, or larger, in every shape that might cost a reader its time, memory or life."""

from itertools import count, pairwise

from reconciler.sources.document import SIZE_BYTES_MAX

SIZE = SIZE_BYTES_MAX


def _full(unit: bytes, head: bytes = b"", tail: bytes = b"") -> bytes:
    """The unit, repeated as often as a file may hold it between head and tail."""
    return head + unit * ((SIZE - len(head) - len(tail)) // len(unit)) + tail


def _numbered(unit: str, head: str = "", tail: str = "", most: int = SIZE) -> bytes:
    """As `_full`, with a number in the place of each `#`, at most `most` times."""
    text = head
    for number in count():
        more = unit.replace("#", str(number))
        if number == most or len(text) + len(more) + len(tail) > SIZE:
            return (text + tail).encode()
        text += more
    raise AssertionError


SHAPES = {
    # nesting
    "depth 200,000 of lists": b"[" * 200_000,
    "depth of lists": _full(b"["),
    "depth of mappings": _full(b"{a: "),
    "depth of block lists": _full(b"- "),
    "a staircase": "".join(f"{' ' * depth}a:\n" for depth in range(350)).encode()[:SIZE],
    # aliases, anchors, tags, merges, directives
    "an alias bomb": b"a: &a x\n"
    + "".join(
        f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]\n" for before, key in pairwise("abcdefghijklmnopqrstuvwxyz")
    ).encode(),
    "a bomb of merge keys": b"a: &a {A: 1, B: 2}\n"
    + "".join(
        f"{key}: &{key} {{<<: [{', '.join([f'*{before}'] * 9)}], {key}: {{<<: *{before}}}}}\n"
        for before, key in pairwise("abcdefghijklmnopqrstuvwxyz")
    ).encode(),
    "a large value in many places": _numbered("- *a\n", f"a: &a [{'x,' * 480}]\nb:\n"),
    "deeper and deeper aliases": b"a: &a0 x\n"
    + "".join(f"k{number}: &a{number} [*a{number - 1}]\n" for number in range(1, 40)).encode(),
    "anchors with names": _numbered("k#: &a# x\n", most=490),
    "many small merges": _numbered("k#: {<<: *a, b: c}\n", "k: &a {a: b}\n", most=90),
    "an anchor with a long name": b"a: &" + b"x" * 16_000 + b" {b: c}\nlabels: *" + b"x" * 16_000,
    "anchors": _full(b"&a "),
    "aliases": _full(b"*a "),
    "tags": _full(b"!a "),
    "merges": _full(b"<<: {}\n"),
    "directives": _full(b"%TAG ! a\n"),
    "documents": _full(b"---\n"),
    # scalars
    "one plain word": _full(b"x"),
    "plain words": _full(b"x ", b"image: "),
    "plain lines apart": _full(b" x\n\n", b"image:\n"),
    "colons": _full(b":", b"image: "),
    "digits": _full(b"1", b"pids_limit: "),
    "an integer of 5,000 digits": b"pids_limit: " + b"9" * 5000,
    "escapes": _full(b"\\x41", b'image: "', b'"'),
    "escaped ends of lines": _full(b"\\\n", b'image: "', b'"'),
    "quoted ends of lines": _full(b"\n", b'image: "', b'"'),
    "quoted spaces": _full(b" ", b'image: "', b'"'),
    "single quotes": _full(b"''", b"image: '", b"'"),
    "no end of a quote": _full(b"x", b'image: "'),
    "a literal block": _full(b" x\n", b"image: |\n"),
    "a folded block with gaps": _full(b" x\n\n", b"image: >\n"),
    "an empty block": _full(b"\n", b"image: |\n"),
    "a deep block": _full(b" " * 200 + b"x\n", b"image: |\n"),
    "characters of four bytes": _full("🙂".encode(), b"image: "),
    # what is between
    "spaces": _full(b" "),
    "ends of lines": _full(b"\n"),
    "one comment": _full(b"x", b"#"),
    "comments": _full(b"#\n"),
    "spaces and comments": _full(b" " * 50 + b"#\n"),
    # keys
    "a long key": _full(b"x", b"", b": 1"),
    "a long quoted key": _full(b"x", b'"', b'": 1'),
    "equal keys": _full(b"image: busybox\n"),
    "unknown keys": _numbered("k#: 1\n"),
    "keys that are nearly known": _numbered("stop_grace_period_mem_limit_pids_limit_healthcheck_a_#: 1\n", most=495),
    "tiny mappings": _full(b"{a: 1},", b"[", b"]"),
    "keys without values": _full(b"a,", b"{", b"}"),
    "values in a list": _full(b"- 1\n"),
    # values that a sandbox takes apart
    "a command and an entrypoint": b"image: busybox\ncommand: %s\nentrypoint: %s\n" % (b"x" * 16_300, b"y" * 16_300),
    "a command of words": b"image: busybox\ncommand: %s\nentrypoint: %s\n" % (b"x " * 8_000, b"y " * 8_000),
    "arguments": _full(b"- x\n", b"image: busybox\ncommand:\n")[:3820],
    "arguments without values": _full(b"- ~\n", b"image: busybox\ncommand:\n")[:3820],
    "dollar signs": _full(b"$", b"image: "),
    "variables of Compose": _full(b"- $A\n", b"command:\n")[:4_000],
    "an image of parts": _full(b"a/", b"image: "),
    "an image of dashes": _full(b"-", b"image: a", b"!"),
    "an image of colons": _full(b":", b'image: "[', b'"'),
    "a path": _full(b"/a", b"image: busybox\nworking_dir: "),
    "variables": _numbered(
        "  K#: value of the variable with some text behind it\n", "image: busybox\nenvironment:\n", most=495
    ),
    "variables without values": _numbered("- K#\n", "image: busybox\nenvironment:\n", most=950),
    "reserved labels": _numbered("  reconciler.#: value\n", "image: busybox\nlabels:\n", most=495),
    "ports that are none": _numbered("- -#\n", "image: busybox\nports:\n", most=950),
    "tmpfs over the ceiling": _numbered("- /#:size=65m\n", "image: busybox\ntmpfs:\n", most=950),
    "volumes": _numbered("- {source: /usr/lib, target: /#}\n", "image: busybox\nvolumes:\n", most=165),
    "volumes of nothing": _numbered("- {source: /nothing/#, target: /#}\n", "image: busybox\nvolumes:\n", most=165),
    "volumes of long paths": _numbered(f"- {{source: /usr{'/x' * 2000}, target: /#}}\n", "image: busybox\nvolumes:\n"),
    "volumes without anything": _full(b"- {}\n", b"image: busybox\nvolumes:\n")[:2400],
    "a health check": _full(b"x", b"image: busybox\nhealthcheck: {test: ", b"}")[:16_000] + b"}",
    "a reason": _full(b"x", b"suspend: "),
}

"""The chunks of HTTP in which an engine sends what a container says."""

import pytest

from reconciler.engine.docker.output import FRAME_BYTES_MAX, unchunked

WHOLE = b"3\r\none\r\n8;why=x\r\n\r\ntwo\r\n\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(WHOLE) + 1))
def test_chunks_come_whole_however_they_are_cut(size: int) -> None:
    """Also where what they hold looks like the beginning of another one."""
    received = [WHOLE[begin : begin + size] for begin in range(0, len(WHOLE), size)]
    assert b"".join(unchunked(received)) == b"one\r\ntwo\r\n\r"


def test_what_has_come_together_is_given_together() -> None:
    """A line by itself costs five times as much, and who floods writes only short ones."""
    assert list(unchunked([b"1\r\na\r\n1\r\nb\r\n1\r\n", b"c\r\n0\r\n\r\n"])) == [b"ab", b"c"]


@pytest.mark.parametrize(
    ("received", "error"),
    [
        pytest.param(b"", ConnectionError, id="nothing"),
        pytest.param(b"3\r\none\r\n", ConnectionError, id="without its end"),
        pytest.param(b"3\r\non", ConnectionError, id="cut short"),
        pytest.param(b"zz\r\none\r\n", ValueError, id="no number"),
        pytest.param(b"-9\r\none\r\n", ValueError, id="less than nothing"),
        pytest.param(b"%x\r\n" % (FRAME_BYTES_MAX + 1), ValueError, id="without a bound"),
    ],
)
def test_output_that_breaks_off_is_no_end(received: bytes, error: type[Exception]) -> None:
    """Else the last output of a container would count as read, which it is not."""
    with pytest.raises(error):
        list(unchunked([received]))

"""Reading again and again: what is believed at once, what after a moment, and what stays in force."""

import pytest

from reconciler.control.read import GONE_SECONDS, WAIT_SECONDS, Reader, Reading
from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.simulation.world import FakeClock, FakeDirectory

WEB = Sandbox(image="app:1")


class Files:
    """A directory with two sandboxes, and a policy; `policy` is what reading it raises, or gives."""

    def __init__(self) -> None:
        self.clock, self.directory = FakeClock(), FakeDirectory({"web": WEB, "db": WEB})
        self.policy: Policy | PolicyInvalid = Policy()
        self.readings = 0
        self.reader = Reader(self._read_policy, self.directory.scan, self.clock)
        assert self.read()

    def _read_policy(self) -> Policy:
        self.readings += 1
        if isinstance(self.policy, PolicyInvalid):
            raise self.policy
        return self.policy

    def read(self, after_seconds: float = 0) -> bool:
        self.clock.elapsed += after_seconds
        self.reader.invalidate()
        return self.reader.read().sure

    @property
    def reading(self) -> Reading:
        return self.reader.reading

    @property
    def names(self) -> str:
        return " ".join(sorted(self.reading.desired.names))


@pytest.fixture
def files() -> Files:
    return Files()


def test_nothing_is_read_again_without_a_doubt(files: Files) -> None:
    """What has not changed costs nothing."""
    before = files.readings
    assert files.reader.read().sure
    assert files.readings == before


def test_a_file_counts_as_deleted_after_a_moment(files: Files) -> None:
    """The first look only says when to look again, and the one then needs nobody's doubt."""
    del files.directory.files["db"]
    assert not files.read()
    assert files.names == "db web"
    assert files.reading.again_at == files.clock.monotonic() + GONE_SECONDS
    files.clock.elapsed += GONE_SECONDS
    assert files.reader.read().sure
    assert files.names == "web"


def test_a_file_that_is_put_back_was_never_gone(files: Files) -> None:
    """As editors do it; when it goes missing later, its moment begins anew."""
    for _ in range(2):
        del files.directory.files["db"]
        assert not files.read(after_seconds=10)
        files.directory.files["db"] = WEB
        assert files.read()
        assert files.names == "db web"


def test_files_that_keep_going_missing_hold_nobody_up(files: Files) -> None:
    """The second look in a row goes on with what is in force, though it is not sure yet."""
    del files.directory.files["db"]
    assert [files.read(), files.read(), files.read()] == [False, True, False]
    assert files.names == "db web"


def test_a_file_with_a_wrong_name_counts_as_gone_after_a_moment_too(files: Files) -> None:
    """It may hold a sandbox, which would be removed while an editor replaces it."""
    files.directory.invalid_names.add("db")
    del files.directory.files["db"]
    assert files.read()
    files.directory.invalid_names.clear()
    assert not files.read()
    assert files.reading.desired.problems_of("db")
    files.directory.files["db"] = WEB
    assert files.read()
    assert files.names == "db web"


def test_a_directory_that_cannot_be_read_leaves_the_last_scan_in_force(files: Files) -> None:
    """It is not sound, so that nothing is removed on its word, and is tried again without anybody's doubt."""
    files.directory.readable = False
    assert files.read()
    assert (files.names, files.reading.desired.complete) == ("db web", False)
    assert files.reading.again_at > files.clock.monotonic()
    assert files.reading.scan_error
    files.directory.readable = True
    assert files.reader.read().sure
    assert (files.reading.desired.complete, files.reading.scan_error) == (True, "")


def test_changes_wait_while_git_is_in_the_middle_of_something(files: Files) -> None:
    """The last reading stays in force, removes nothing, and is made again every few seconds until it is over."""
    files.directory.under_way = True
    files.directory.files = {"new": WEB}
    assert files.read()
    assert (files.names, files.reading.desired.complete) == ("db web", False)
    assert files.reading.scan_error == "a git merge is under way; changes wait"
    assert files.reading.again_at == files.clock.monotonic() + WAIT_SECONDS
    files.directory.under_way = False
    files.directory.files = {"web": WEB, "db": WEB, "new": WEB}
    assert files.reader.read().sure
    assert (files.names, files.reading.desired.complete, files.reading.scan_error) == ("db new web", True, "")


def test_the_last_good_policy_stays_in_force(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """That it does is said once, in one line."""
    files.policy = Policy(sandboxes_max=7)
    files.read()
    files.policy = PolicyInvalid(tuple(Problem("policy.yaml", line, 1, "no") for line in (1, 2)))
    files.read()
    files.read()
    assert files.reading.policy.sandboxes_max == 7
    assert len(files.reading.policy_error.splitlines()) == 2
    (said,) = caplog.messages
    assert "stays in force: policy.yaml:1" in said
    assert "\n" not in said
    files.policy = Policy(sandboxes_max=8)
    files.read()
    assert (files.reading.policy.sandboxes_max, files.reading.policy_error) == (8, "")

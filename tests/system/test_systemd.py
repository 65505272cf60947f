"""The unit that is printed for systemd, as systemd itself judges it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.private_engine import install_packages
from tests.system.conftest import COMMAND, Operator

DYNAMIC_USER = 61184
"""The first of those that systemd gives to services."""

EXPOSURE_MAX = 3.0
"""Of 10, in the arithmetic of `systemd-analyze security`."""


@pytest.fixture(scope="module", autouse=True)
def systemd() -> None:
    """Its tools need no systemd that runs."""
    if not shutil.which("systemd-analyze"):
        install_packages("systemd")


def reconciler(*arguments: str, **asked: str) -> subprocess.CompletedProcess[str]:
    """Run where nobody looks for anything, with nothing in the environment that asks for anything else."""
    environment = {"PATH": os.environ["PATH"], **asked}
    return subprocess.run(
        [COMMAND, *arguments], cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def printed(directory: Path, *options: str, **asked: str) -> Path:
    """The file of the unit that is printed for the options, with the name that it gives itself."""
    done = reconciler(*options, "systemd", **asked)
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.splitlines()[0]
    unit = directory / Path(first.removeprefix("# ")).name
    unit.write_text(done.stdout)
    return unit


def analyze(*arguments: object) -> str:
    """What `systemd-analyze` says, which must be content."""
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def command_of(unit: Path) -> list[str]:
    _, _, rest = unit.read_text().partition("\nExecStart=")
    return rest.partition("\nExecReload=")[0].replace("\\\n", "").split()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--instance", "second"),
        ("--host", "tcp://192.0.2.1:2375"),
        ("--source", "old host:/srv/a b", "--adopt", "100% $HOME", "--adopt", "second"),
        ("--dir", '/srv/100% $HOME "quoted" back\\slash; ümläut', "--state", "/var/lib/a b/c"),
    ],
)
def test_systemd_accepts_the_unit_and_finds_it_hardened(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Whatever options it is printed for: without a warning, and with little exposed."""
    unit = printed(tmp_path, *options)
    assert analyze("verify", "--recursive-errors=no", unit) == ""
    analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:.0f}", unit)


def test_nothing_is_hidden_that_is_looked_at(tmp_path: Path) -> None:
    """The kernel's settings, and the processes of sandboxes, are in parts of /proc that systemd can take away."""
    text = printed(tmp_path).read_text()
    assert "\nProcSubset" not in text
    assert "\nProtectProc" not in text


def test_what_is_not_given_is_where_services_have_it(tmp_path: Path) -> None:
    """The command is this one, all paths are absolute, and each instance has its own."""
    unit = printed(tmp_path)
    assert unit.name == "reconciler.service"
    assert command_of(unit) == [
        str(COMMAND),
        *("--dir", "/etc/reconciler/sandboxes.d"),
        *("--policy", "/etc/reconciler/policy.yaml"),
        *("--state", "/var/lib/reconciler"),
        *("--host", "unix:///var/run/docker.sock"),
        *("--instance", "default"),
        "run",
    ]
    unit = printed(tmp_path, "--instance", "second")
    assert unit.name == "reconciler-second.service"
    assert "/etc/reconciler-second/sandboxes.d" in command_of(unit)
    assert "/var/lib/reconciler-second" in command_of(unit)


def test_what_is_given_is_in_the_unit(tmp_path: Path) -> None:
    """As absolute paths; the state stays where systemd can give it to the service."""
    unit = printed(tmp_path, "--dir", "srv/../boxes", "--policy", "policy.yaml", "--state", "/var/lib/a/b")
    words = command_of(unit)
    assert words[1:7] == ["--dir", "/srv/../boxes", "--policy", "/policy.yaml", "--state", "/var/lib/a/b"]
    assert "StateDirectory=a/b\n" in unit.read_text()
    assert "ConfigurationDirectory" not in unit.read_text()


def test_where_the_engine_is_is_in_the_unit(tmp_path: Path) -> None:
    """A service has neither contexts nor an environment of ours: their address and certificates are written out."""
    (tmp_path / "ca.pem").touch()
    certified = {"DOCKER_HOST": "tcp://build:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    text = printed(tmp_path, **certified).read_text()
    assert "--host tcp://build:2376" in text
    assert f"\nEnvironment=DOCKER_TLS_VERIFY=1\nEnvironment=DOCKER_CERT_PATH={tmp_path}\n" in text
    assert "\nWants=network-online.target\n" in text


def test_where_credentials_are_is_in_the_unit(tmp_path: Path) -> None:
    """As a file that the service reads itself; the lines for what systemd has itself need only be uncommented."""
    unit = printed(tmp_path, "--registry-config", "registries.json")
    assert "--registry-config /registries.json" in unit.read_text()
    lines = ("LoadCredential=registries:", "Environment=RECONCILER_REGISTRY_CONFIG=%d/registries")
    text = unit.read_text()
    for line in lines:
        assert f"\n# {line}" in text
        text = text.replace(f"\n# {line}", f"\n{line}")
    unit.write_text(text)
    assert analyze("verify", "--recursive-errors=no", unit) == ""


def test_who_owns_the_sandboxes_is_in_the_unit(tmp_path: Path) -> None:
    """The service is the source that was named, and takes over from all the others that were."""
    words = command_of(printed(tmp_path, "--source", "new", "--adopt", "old", "--adopt", "host:/srv/boxes"))
    assert words[-7:] == ["--source", "new", "--adopt", "old", "--adopt", "host:/srv/boxes", "run"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--state", "state"), "a service has its state in /var/lib"),
        (("--state", "/var/lib"), "a service has its state in /var/lib"),
        (("--state", "/var/lib/../x"), "a service has its state in /var/lib"),
        (("--dir", "/srv/two\nlines"), "characters that cannot be seen"),
    ],
)
def test_what_systemd_cannot_be_given(options: tuple[str, ...], why: str) -> None:
    """An error, and no half of a unit."""
    done = reconciler(*options, "systemd")
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr


def as_the_service(operator: Operator) -> tuple[str, ...]:
    """In front of a command: the user, the group and the one capability that the unit gives."""
    group = Path(operator.engine.host.removeprefix("unix://")).stat().st_gid
    user = (f"--reuid={DYNAMIC_USER}", f"--regid={DYNAMIC_USER}", f"--groups={group}", "--no-new-privs")
    right = "-all,+dac_read_search"
    return ("setpriv", *user, f"--bounding-set={right}", f"--inh-caps={right}", f"--ambient-caps={right}", "env")


def test_the_user_of_the_unit_can_do_all_that_is_needed(operator: Operator) -> None:
    """It reads what only root may read, sees the sources of volumes, and does what root approves, at once."""
    given = operator.root / "given"
    given.mkdir()
    os.chown(given, DYNAMIC_USER, DYNAMIC_USER)
    operator.state.symlink_to(given)  # as systemd does it
    source = operator.root / "private" / "data"
    source.mkdir(parents=True)
    operator.declare("web", volumes=[{"type": "bind", "source": str(source), "target": "/data", "read_only": True}])
    operator.declare("db")
    removals = {"max": 0, "share": 0}
    operator.decree(volumes=[{"root": str(source.parent), "read_only": True}], removals=removals)
    for path in (operator.policy_file, *operator.directory.iterdir()):
        path.chmod(0o600)
    for path in (operator.directory, source.parent):
        path.chmod(0o700)
    operator.before = as_the_service(operator)
    with operator.run():
        operator.until_phase(web="Running", db="Running")
        process = f"/proc/{operator.inspect('web')['State']['Pid']}"
        looked_at = [f"{process}/mountinfo", f"{process}/cgroup", "/proc/self/net/unix", "/proc/sys/net/core/somaxconn"]
        subprocess.run([*operator.before, "cat", *looked_at], capture_output=True, check=True)
        operator.remove("web")
        operator.until_reason(web="RemovalBudgetExceeded")
        operator.before = ()
        operator.reconciler("approve", code=0)
        operator.until(lambda: operator.phases() == {"db": "Running"})

"""What `make release` gives: the same bytes each time, and whatever is installed of it converges a sandbox."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import reconciler
from tests.private_engine import PATH, PrivateEngine, install_packages
from tests.system.clone import ROOT, Clone
from tests.system.conftest import Operator
from tests.tables import PAGES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release")]  # one process makes one release, for all of these

PACKAGING = ROOT / "docs" / "packaging"

IN_ANOTHER_ROOT = """\
for shared in /proc {shared}; do
    mkdir -p "$0$shared"
    mount --rbind "$shared" "$0$shared"
done
exec chroot "$0" "$@"
"""
"""Shell, of which `$0` is the root; what it mounts is seen by its command alone, and gone with it."""

OF_THEIR_OWN = """\
mount -t tmpfs tmpfs /opt
mkdir /opt/upper /opt/work
mount -t overlay -o lowerdir=/etc,upperdir=/opt/upper,workdir=/opt/work overlay /etc
mkdir -p /etc/systemd/system
"""


def run(*command: object, **options: Any) -> str:
    """What the command prints; it must end well."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}"
    return str(done.stdout)


def made(clone: Path) -> Path:
    """Where the files of the clone's release are."""
    run("make", "release", cwd=clone)
    return clone / "dist"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clone.at(tmp_path_factory.mktemp("release") / "clone", {}).root


@pytest.fixture(scope="module")
def dist(clone: Path) -> Path:
    return made(clone)


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def converges(operator: Operator) -> None:
    """The command is this version; it makes a sandbox that serves, and has nothing left to do."""
    assert reconciler.__version__ in operator.reconciler("--version", code=0).stdout
    operator.declare("web")
    operator.reconciler("apply", code=0)
    assert operator.engine.get(operator.status("web")["ports"]["3000"]) == "it works\n"
    operator.reconciler("plan", code=0)


def test_the_same_commit_gives_the_same_bytes(clone: Path, dist: Path, tmp_path: Path) -> None:
    """In another place, time zone and umask, with files that were written later, and with another engine to name."""
    another = tmp_path / "another"
    run("git", "clone", "--quiet", clone, another)
    shutil.copytree(clone / ".venv", another / ".venv", symlinks=True)
    other = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "DOCKER_HOST": "tcp://192.0.2.1:2375", "RECONCILER_DIR": "/x"}
    before = os.umask(0o077)
    try:
        run("make", "release", cwd=another, env={**os.environ, **other})
    finally:
        os.umask(before)
    assert (another / "dist" / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def test_the_checksums_are_those_of_all_files(dist: Path) -> None:
    """A wheel, an sdist and a package of Debian, each as `sha256sum --check` knows it."""
    said = run("sha256sum", "--check", "SHA256SUMS", cwd=dist)
    names = sorted(path.name for path in dist.iterdir() if path.name != "SHA256SUMS")
    assert sorted(said.splitlines()) == [f"{name}: OK" for name in names]
    assert [name.rpartition(".")[2] for name in names] == ["whl", "gz", "deb"]


@pytest.mark.parametrize("kind", ["whl", "tar.gz"])
def test_pip_installs_it(kind: str, dist: Path, operator: Operator) -> None:
    """The wheel and the sdist, as the README says, in a virtual environment that had nothing."""
    (command,) = shown("README.md", "pip install")
    environment = operator.root / "environment"
    run(sys.executable, "-m", "venv", environment)
    path = {**os.environ, "PATH": f"{environment}/bin:{os.environ['PATH']}"}
    run("sh", "-ec", command.replace("whl", kind), cwd=dist, env=path)
    operator.program = environment / "bin" / "reconciler"
    converges(operator)


def test_the_steps_to_a_service_can_be_taken(dist: Path) -> None:
    """All but those of systemd, in an /opt and an /etc of their own; the unit runs what they have installed."""
    steps = shown("operations.md", "python3 -m venv /opt/", "/opt/reconciler/bin/", "mkdir -p /etc/reconciler")
    assert len(steps) == 4
    unit, validate = "/etc/systemd/system/reconciler.service", "/opt/reconciler/bin/reconciler validate"
    assert_all = [f"grep '^ExecStart=/opt/reconciler/bin/reconciler ' {unit}", f"cd /etc/reconciler && {validate}"]
    run("unshare", "--mount", "sh", "-ec", "\n".join([OF_THEIR_OWN, *steps, *assert_all]), cwd=dist)


def shown(page: str, *starts: str) -> list[str]:
    """The commands of a page that begin so."""
    (path,) = (path for path in PAGES if path.name == page)
    return [line for line in path.read_text().splitlines() if line.startswith(starts)]


# --- Debian ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def suite() -> str:
    """The Debian that this is, for which alone a package is made; its roots can be made from here on."""
    if not shutil.which("mmdebstrap"):
        install_packages("mmdebstrap")
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


@pytest.fixture(scope="module")
def debian(dist: Path, suite: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with as little as there can be, the package, and what it depends on."""
    root = tmp_path_factory.mktemp("debian") / "root"
    from_here = "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount"
    run("mmdebstrap", "--variant=minbase", from_here, f"--include={only(dist, '*.deb')}", suite, root)
    return root


def test_the_package_converges_a_sandbox(debian: Path, operator: Operator) -> None:
    """In a root with nothing else, under the policy that comes with it."""
    shared = f"{operator.root} {operator.engine.run}"
    operator.before = ("unshare", "--mount", "sh", "-ec", IN_ANOTHER_ROOT.format(shared=shared), str(debian))
    operator.program = Path("/usr/bin/reconciler")
    operator.policy_file.write_text((debian / "etc/reconciler/policy.yaml").read_text())
    converges(operator)


def test_the_package_starts_nothing_unasked(debian: Path) -> None:
    """It brings the unit that the command prints, which is not enabled; what is not, Debian does not start."""
    unit = (debian / "lib/systemd/system/reconciler.service").read_text()
    printed = run("chroot", debian, "reconciler", "systemd")
    assert printed == f"# /etc/systemd/system/reconciler.service\n\n{unit}"
    assert "ExecStart=/usr/bin/reconciler " in unit
    assert not list((debian / "etc/systemd/system").rglob("*reconciler*"))


def test_what_the_owner_of_the_host_has_written_stays(debian: Path, dist: Path) -> None:
    """Over another installation, a removal and even a purge; a purge takes the policy away, and nobody's sandboxes."""
    shutil.copy(only(dist, "*.deb"), debian / "again.deb")
    policy, sandbox = debian / "etc/reconciler/policy.yaml", debian / "etc/reconciler/sandboxes.d/mine.yaml"
    policy.write_text("sandboxes_max: 3\n")
    sandbox.write_text("image: busybox\n")
    for words in (["--install", "/again.deb"], ["--remove", "reconciler"], ["--install", "/again.deb"]):
        run("chroot", debian, "dpkg", *words, stdin=subprocess.DEVNULL)
        assert (policy.read_text(), sandbox.read_text()) == ("sandboxes_max: 3\n", "image: busybox\n")
    run("chroot", debian, "dpkg", "--purge", "reconciler")
    assert (policy.exists(), sandbox.exists()) == (False, True)
    assert not (debian / "usr/lib/reconciler").exists()
    run("chroot", debian, "dpkg", "--install", "/again.deb")


# --- in a container --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Docker:
    """Its command, at an engine of the tests."""

    engine: PrivateEngine

    def __call__(self, *words: object, **options: Any) -> str:
        environment = {**os.environ, "PATH": PATH, "DOCKER_HOST": self.engine.host, "DOCKER_BUILDKIT": "0"}
        return run("docker", *words, env=environment, **options)


@pytest.fixture(scope="module")
def docker(private_engine: PrivateEngine, dist: Path, suite: str, tmp_path_factory: pytest.TempPathFactory) -> Docker:
    """At an engine that has neither a registry nor a package index.

    So the image that the Dockerfile begins with is made of Debian, under its name, and has the packages already.
    """
    docker, base = Docker(private_engine), tmp_path_factory.mktemp("base")
    python = "/usr/bin/python3", "-m", "pip"
    run(*python, "download", "--quiet", "--dest", base / "wheels", only(dist, "*.whl"))
    (base / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /etc/wheels\nroot-user-action = ignore\n")
    hooks = "rm -f $1/usr/lib/python3*/EXTERNALLY-MANAGED", f"cp -r {base}/wheels {base}/pip.conf $1/etc"
    image = base / "root.tar"
    made = [f"--customize-hook={hook}" for hook in hooks]
    run("mmdebstrap", "--variant=minbase", "--include=python3-pip", *made, suite, image)
    docker("import", image, first_image())
    image.unlink()
    docker("build", "--tag", "reconciler", "--file", PACKAGING / "Dockerfile", dist)
    return docker


def first_image() -> str:
    """The one that the Dockerfile begins with."""
    (line,) = (line for line in (PACKAGING / "Dockerfile").read_text().splitlines() if line.startswith("FROM "))
    return line.removeprefix("FROM ")


FLAGS = {"cgroup": "cgroupns", "network_mode": "network", "environment": "env", "volumes": "volume"}
"""Keys of a service that `docker run` calls otherwise."""


def flags(service: dict[str, Any]) -> Iterator[str]:
    """The same for `docker run`."""
    for key, value in service.items():
        values = [f"{name}={text}" for name, text in value.items()] if isinstance(value, dict) else value
        for one in values if isinstance(values, list) else [values]:
            yield f"--{FLAGS.get(key, key).replace('_', '-')}={str(one).lower() if isinstance(one, bool) else one}"


@contextmanager
def up(docker: Docker, service: dict[str, Any]) -> Iterator[str]:
    """The id of the service's container, while it runs."""
    image = service.pop("image")
    container = docker("run", "--detach", *flags(service), image).strip()
    try:
        yield container
    finally:
        print(docker("logs", container))
        docker("rm", "--force", container)


NOBODY = 10000
"""The user of compose.yaml."""


def test_a_controller_in_a_container_converges_a_sandbox(docker: Docker, operator: Operator) -> None:
    """As compose.yaml runs it, under the package's policy: as nobody, with the host's paths, ports and processes."""
    socket, data = operator.engine.run / "docker.sock", operator.root / "srv"
    paths = {"/etc/reconciler": operator.root, "/var/lib/reconciler": operator.state, "/srv/sandboxes": data}
    text = (PACKAGING / "compose.yaml").read_text().replace("/var/run/docker.sock:", f"{socket}:")
    for path, ours in paths.items():
        text = text.replace(path, str(ours))
        ours.mkdir(exist_ok=True)
    operator.root.chmod(0o755)
    os.chown(operator.state, NOBODY, NOBODY)
    (data / "index.html").write_text("the host's\n")
    policy = yaml.safe_load((PACKAGING / "policy.yaml").read_text())
    operator.decree(**policy, volumes=[{"root": str(data), "read_only": True}])
    operator.declare("web", volumes=[{"type": "bind", "source": str(data), "target": "/www"}])
    service = yaml.safe_load(text.replace(":999", f":{socket.stat().st_gid}"))["services"]["reconciler"]
    service["environment"]["RECONCILER_INSTANCE"] = operator.instance
    with up(docker, service) as container:
        operator.until_phase(web="Running")
        assert operator.controller()["source"] == "this-host"
        assert operator.controller()["version"] == reconciler.__version__
        assert operator.engine.get(operator.status("web")["ports"]["3000"]) == "the host's\n"
        assert operator.status("web")["attested"]["ok"]
        assert "web" in docker("exec", container, "reconciler", "status")
        process = f"/proc/{operator.inspect('web')['State']['Pid']}"
        looked_at = [f"{process}/mountinfo", f"{process}/cgroup", "/proc/sys/net/bridge/bridge-nf-call-iptables"]
        assert operator.container("web") in docker("exec", container, "cat", *looked_at)
        docker("stop", container)
        assert docker("wait", container) == "0\n"
    operator.reconciler("--source", "this-host", "plan", code=0)

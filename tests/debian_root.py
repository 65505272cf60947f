"""The root of another Debian, made once and kept, for the engines that its packages have."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.private_engine import PATH, NoEngineError, install_packages, say

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "reconciler-engines"

DOCKER = ("docker.io", "iptables", "iproute2")
PODMAN = ("podman", "crun", "netavark", "aardvark-dns", "nftables", "catatonit")
KERNEL = ("user-mode-linux", "kmod")

NO_SERVICES = "#!/bin/sh\nexit 101\n"
"""Debian's `policy-rc.d`: nothing that is installed is started."""

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
"""
"""Podman would raise these above its own limits, which not every root may."""

REGISTRIES_CONF = """\
[[registry]]
location = "127.0.0.1"
insecure = true
"""
"""What Docker does by itself: registries of this host may speak plain HTTP, or have certificates of their own."""

REMAPPED = "dockremap:100000:65536\n"
"""The users that `--userns-remap=default` gives to containers."""


def debian_root(suite: str) -> Path:
    """The root of a Debian of that suite; removing it has the next one made of today's packages.

    Raises `NoEngineError` where it cannot be had.
    """
    root = CACHE / suite
    if root.exists():
        return root
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not root.exists():
                _make(suite, root)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoEngineError(f"cannot make the root of Debian's {suite} in {root}: {error}") from error
    return root


def _make(suite: str, root: Path) -> None:
    if not shutil.which("debootstrap", path=PATH):
        install_packages("debootstrap", "debian-archive-keyring")
    say(f"making the root of Debian's {suite} in {root}")
    unfinished = root.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _run("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(unfinished), *_mirror())
    policy = unfinished / "usr/sbin/policy-rc.d"
    policy.write_text(NO_SERVICES)
    policy.chmod(0o755)
    shutil.copy("/etc/resolv.conf", unfinished / "etc/resolv.conf")
    inside = ("chroot", str(unfinished))
    _run(*inside, "apt-get", "install", "-qq", "-y", "--no-install-recommends", *DOCKER, *PODMAN, *KERNEL)
    _run(*inside, "useradd", "--system", "dockremap")
    for file in ("subuid", "subgid"):
        (unfinished / "etc" / file).write_text(REMAPPED)
    (unfinished / "usr/lib/modules").symlink_to("uml/modules")
    (unfinished / "etc/containers/containers.conf").write_text(CONTAINERS_CONF)
    (unfinished / "etc/containers/registries.conf.d/local.conf").write_text(REGISTRIES_CONF)
    unfinished.rename(root)


def _mirror() -> list[str]:
    """The mirror of Debian that this machine's apt is set up with; none where that is another distribution's."""
    command = [
        "apt-get",
        "indextargets",
        "Origin: Debian",
        "Created-By: Packages",
        "--format",
        "$(CODENAME) $(REPO_URI)",
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [uri for codename, uri in map(str.split, told.splitlines()) if "-" not in codename][:1]


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

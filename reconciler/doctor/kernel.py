"""Checks of the kernel: whether it confines the sandboxes, and whether it can report changed files."""

from collections.abc import Iterator
from shlex import quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import Host, Unknown
from reconciler.model.capabilities import Knob
from reconciler.model.world import EngineHealth

LIMITS = (Knob.MEMORY, Knob.SWAP, Knob.CPU, Knob.PIDS)
RESTART = "sudo systemctl restart docker"

INSTANCES_MIN = 128
WATCHES_MIN = 8192


def seccomp(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether system calls that no container needs are blocked."""
    if Knob.SECCOMP not in engine.facts.lacking:
        yield ok("seccomp", "on")
    else:
        why = "Sandboxes could make any system call, so none is started."
        yield error("seccomp", "off", why, '# take "seccomp-profile" out of /etc/docker/daemon.json', RESTART)


def mandatory_access(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether AppArmor or SELinux confines containers."""
    known = {"apparmor": "AppArmor", "selinux": "SELinux"}
    if on := [name for key, name in known.items() if key in engine.security]:
        yield ok("mandatory access", " and ".join(on))
    else:
        yield warning(
            "mandatory access",
            "neither AppArmor nor SELinux",
            "It still confines a sandbox that has got past the other limits.",
            "# Debian, Ubuntu:",
            f"sudo apt-get install apparmor && {RESTART}",
            '# Fedora: in /etc/docker/daemon.json: "selinux-enabled": true, then',
            RESTART,
        )


def limits(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether memory, CPU and processes can be limited."""
    missing = [limit for limit in LIMITS if limit in engine.facts.lacking]
    if not missing:
        yield ok("limits", f"{', '.join(LIMITS)} are enforced")
        return
    why = "A container without its limits is not as declared, so it is never started."
    remedy = _enable(missing, rootless="rootless" in engine.security)
    yield error("limits", f"not enforced: {', '.join(missing)}", why, *remedy)


def _enable(missing: list[Knob], *, rootless: bool) -> Iterator[str]:
    if rootless:
        yield "sudo mkdir -p /etc/systemd/system/user@.service.d"
        yield "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' |"
        yield "  sudo tee /etc/systemd/system/user@.service.d/delegate.conf"
        yield "sudo systemctl daemon-reload  # then log in again"
    elif {Knob.MEMORY, Knob.SWAP} & set(missing):
        yield from _boot_with("cgroup_enable=memory swapaccount=1")
    else:
        yield "# boot a kernel with CONFIG_CFS_BANDWIDTH and CONFIG_CGROUP_PIDS, as those of distributions are"


def _boot_with(words: str) -> Iterator[str]:
    yield "# Debian, Ubuntu:"
    yield "sudo sed -i /etc/default/grub -e \\"
    yield f"""  's/^GRUB_CMDLINE_LINUX="/&{words} /'"""
    yield "sudo update-grub && sudo reboot"
    yield "# Fedora:"
    yield f"sudo grubby --update-kernel=ALL --args={quote(words)}"
    yield "sudo reboot"


def cgroups(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Which version limits them."""
    match engine.cgroup_version:
        case "2":
            yield ok("cgroups", "version 2")
        case "1":
            why = "Kernels and engines are dropping support for version 1."
            yield warning("cgroups", "version 1", why, *_boot_with("systemd.unified_cgroup_hierarchy=1"))
        case _:
            yield unchecked("cgroups", "the engine does not say which version it uses")


def user_namespaces(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether root in a container is nobody on the host."""
    if "rootless" in engine.security:
        yield ok("user namespaces", "the engine is rootless")
    elif "userns" in engine.security:
        yield ok("user namespaces", "root in a sandbox is nobody on the host")
    else:
        yield warning(
            "user namespaces",
            "off",
            "Who breaks out of a sandbox has the same user id on the host.",
            '# in /etc/docker/daemon.json: "userns-remap": "default"',
            f"{RESTART}  # images and containers are then made anew",
            "# the files of volumes then have no owner in a sandbox: chown them to its mapped user id",
        )


def inotify(host: Host) -> Iterator[Finding]:
    """Whether enough directories can be watched."""
    if isinstance(host.inotify, Unknown):
        yield unchecked("inotify", host.inotify.why)
        return
    wanted = {"max_user_instances": INSTANCES_MIN, "max_user_watches": WATCHES_MIN}
    few = {name: least for name, least in wanted.items() if host.inotify[name] < least}
    if few:
        yield warning(
            "inotify",
            ", ".join(f"{name} is {host.inotify[name]}" for name in few),
            "Where other programs use them up, changed files are seen late.",
            *(f"sudo sysctl -w fs.inotify.{name}={least * 4}" for name, least in few.items()),
            "# and the same in /etc/sysctl.d/60-inotify.conf, for the next boot",
        )
    else:
        told = (host.inotify[name] for name in wanted)
        yield ok("inotify", "{} instances, {} watches for each user".format(*told))

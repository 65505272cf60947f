"""Checks of the kernel: whether it confines the sandboxes, and whether it can report changed files."""

from collections.abc import Iterator
from shlex import quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import Host, Unknown
from reconciler.doctor.house import House
from reconciler.model.capabilities import Knob
from reconciler.model.world import EngineHealth

LIMITS = (Knob.MEMORY, Knob.SWAP, Knob.CPU, Knob.PIDS)

CGROUPS_2 = "systemd.unified_cgroup_hierarchy=1"

INSTANCES_MIN = 128
WATCHES_MIN = 8192


def seccomp(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether system calls that no container needs are blocked."""
    if Knob.SECCOMP not in engine.facts.lacking:
        yield ok("seccomp", "on")
    else:
        why = "Sandboxes could make any system call, so none is started."
        remedy: tuple[str, ...] = ("# boot a kernel with CONFIG_SECCOMP_FILTER, as those of distributions are",)
        if "seccomp" in engine.security:  # then the kernel has it, and the engine makes nothing of it
            remedy = f'# take "seccomp-profile" out of {host.house.configuration}', host.house.systemctl("restart")
        yield error("seccomp", "off", why, *host.there(*remedy))


def mandatory_access(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether AppArmor or SELinux confines containers."""
    known = {"apparmor": "AppArmor", "selinux": "SELinux"}
    if on := [name for key, name in known.items() if key in engine.security]:
        yield ok("mandatory access", " and ".join(on))
    else:
        why = "It still confines a sandbox that has got past the other limits."
        remedy = host.there(*_confine(host.house))
        yield warning("mandatory access", "neither AppArmor nor SELinux", why, *remedy)


def _confine(house: House) -> Iterator[str]:
    restart = house.systemctl("restart")
    if house.rootless:
        yield "# Debian, Ubuntu: run the engine as root, a rootless one cannot use AppArmor"
    else:
        yield "# Debian, Ubuntu:"
        yield f"sudo apt-get install apparmor && {restart}"
    if house.configuration:
        yield f'# Fedora: in {house.configuration}: "selinux-enabled": true, then'
        yield restart
    else:
        yield "# Fedora: take SELINUX=disabled out of /etc/selinux/config, and boot"


def limits(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether memory, CPU and processes can be limited."""
    missing = [limit for limit in LIMITS if limit in engine.facts.lacking]
    if not missing:
        yield ok("limits", f"{', '.join(LIMITS)} are enforced")
        return
    why = "A container without its limits is not as declared, so it is never started."
    remedy = host.there(*_enable(missing, engine.cgroup_version, rootless=host.house.rootless))
    yield error("limits", f"not enforced: {', '.join(missing)}", why, *remedy)


def _enable(missing: list[Knob], cgroup_version: str, *, rootless: bool) -> Iterator[str]:
    if rootless and cgroup_version == "1":
        yield from _boot_with(CGROUPS_2)
    elif rootless:
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


def cgroups(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Which version limits them."""
    match engine.cgroup_version:
        case "2":
            yield ok("cgroups", "version 2")
        case "1":
            why = "Kernels and engines are dropping support for version 1."
            yield warning("cgroups", "version 1", why, *host.there(*_boot_with(CGROUPS_2)))
        case _:
            yield unchecked("cgroups", "the engine does not say which version it uses")


def user_namespaces(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether root in a container is nobody on the host."""
    if "rootless" in engine.security:
        yield ok("user namespaces", "the engine is rootless")
    elif "userns" in engine.security:
        yield ok("user namespaces", "root in a sandbox is nobody on the host")
    else:
        why = "Who breaks out of a sandbox has the same user id on the host."
        remedy = host.there(*_remap(host.house, containerd_store=engine.containerd_store))
        yield warning("user namespaces", "off", why, *remedy)


def _remap(house: House, *, containerd_store: bool) -> Iterator[str]:
    if house.client == "podman":
        yield '# run the sandboxes on Docker with "userns-remap": what Podman has for it is taken for drift'
        return
    yield f'# in {house.configuration}: "userns-remap": "default"'
    if containerd_store:
        yield '# and, as containerd\'s store has none: "features": {"containerd-snapshotter": false}'
    yield f"{house.systemctl('restart')}  # images and containers are then made anew"
    yield "# the files of volumes then have no owner in a sandbox: chown them to its mapped user id"


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

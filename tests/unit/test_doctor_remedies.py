"""What the doctor advises, line by line, on each kind of engine: what is right on one is wrong on another."""

from dataclasses import dataclass, replace

import pytest

from reconciler.doctor.checks import examine
from reconciler.doctor.finding import Level
from reconciler.doctor.firewall import Rules, parse
from reconciler.doctor.host import Host, Room, Unknown
from reconciler.doctor.nftables import parse as parse_nftables
from reconciler.engine.address import Address
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.world import EngineFacts, Network
from tests.unit.test_doctor import CASES, ENGINE, SOUND, findings

API = "WARNING: API is accessible on http://0.0.0.0:2375 without encryption."


@dataclass(frozen=True)
class Kind:
    """An engine of which all is wrong that can be."""

    name: str = "Docker"
    url: str = Address().url
    context: str = ""
    security: tuple[str, ...] = ("seccomp",)
    driver: str = "overlay2"
    containerd_store: bool = False
    data: str = "/var/lib/docker"

    def host(self) -> Host:
        lacking = ALL | {Knob.SECCOMP: SetBy.NOBODY, Knob.MEMORY: SetBy.NOBODY}
        version = "27.5.1" if self.name == "Docker" else "5.8.6"
        sick = replace(
            ENGINE,
            facts=EngineFacts(self.name, version, "1.47", lacking, data=self.data),
            security=frozenset(self.security),
            cgroup_version="2",
            live_restore=False,
            storage_driver=self.driver,
            containerd_store=self.containerd_store,
            file_system="extfs",
            warnings=(API, "something else") if self.name == "Docker" else (),
        )
        bridge = "br-1" if self.name == "Docker" else "podman1"
        network = Network("n", "1", bridge=bridge, subnets=("10.89.0.0/24",))
        found = replace(
            SOUND, network=network, interfaces=frozenset({"podman7", "br-1"}), ends_with_logout_of="ada lovelace"
        )
        return replace(found, address=Address(self.url, context=self.context), engine=sick, engine_room=Room(0, 0))


ENGINES = {
    "docker": Kind(),
    "docker, containerd's store": Kind(driver="overlayfs", containerd_store=True),
    "docker, users remapped": Kind(security=("seccomp", "userns")),
    "docker, rootless": Kind(
        url="unix:///run/user/1000/docker.sock",
        context="rootless",
        security=("seccomp", "rootless"),
        data="/home/ada/.local/share/docker",
    ),
    "docker, of a context on another host": Kind(url="ssh://far", context="far"),
    "docker, rootless on another host": Kind(url="ssh://far", security=("seccomp", "rootless"), data="/home/ada/d"),
    "podman": Kind("Podman", "unix:///run/podman/podman.sock", "", (), "overlay", data="/var/lib/containers/storage"),
    "podman, rootless": Kind(
        "Podman", "unix:///run/user/1000/podman/podman.sock", "", ("rootless",), "overlay", data="/home/ada/c"
    ),
    "podman, on another host": Kind("Podman", "tcp://far:2375", "", (), "overlay", data="/var/lib/containers/storage"),
}

NEWER = ("# install Docker 28 or newer: https://docs.docker.com/engine/install/",)
ON_FAR = ("# on far:",)
RESTART = "sudo systemctl restart docker"
KERNEL = ("# boot a kernel with CONFIG_SECCOMP_FILTER, as those of distributions are",)
BOOT = (
    "# Debian, Ubuntu:",
    "sudo sed -i /etc/default/grub -e \\",
    """  's/^GRUB_CMDLINE_LINUX="/&cgroup_enable=memory swapaccount=1 /'""",
    "sudo update-grub && sudo reboot",
    "# Fedora:",
    "sudo grubby --update-kernel=ALL --args='cgroup_enable=memory swapaccount=1'",
    "sudo reboot",
)
DELEGATE = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d",
    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' |",
    "  sudo tee /etc/systemd/system/user@.service.d/delegate.conf",
    "sudo systemctl daemon-reload  # then log in again",
)
UNPROFILED = ('# take "seccomp-profile" out of /etc/docker/daemon.json', RESTART)
CONFINED = (
    "# Debian, Ubuntu:",
    f"sudo apt-get install apparmor && {RESTART}",
    '# Fedora: in /etc/docker/daemon.json: "selinux-enabled": true, then',
    RESTART,
)
REMAPPED = (
    '# in /etc/docker/daemon.json: "userns-remap": "default"',
    f"{RESTART}  # images and containers are then made anew",
    "# the files of volumes then have no owner in a sandbox: chown them to its mapped user id",
)
LIVE = ('# in /etc/docker/daemon.json: "live-restore": true', "sudo systemctl reload docker")
CLOSED = ("# take the tcp:// host out of /etc/docker/daemon.json or the unit",)
ON_XFS = ("# put /var/lib/docker on xfs, mounted with pquota, under the driver overlay2",)

DOCKER = {
    "version": NEWER,
    "live restore": LIVE,
    "engine says": CLOSED,
    "engine says 2": ("docker info",),
    "seccomp": UNPROFILED,
    "mandatory access": CONFINED,
    "limits": BOOT,
    "user namespaces": REMAPPED,
    "engine's disk": ("docker system df", "docker image prune"),
    "disk quota": ON_XFS,
}
LINGER = ("sudo loginctl enable-linger 'ada lovelace'",)
ROOTLESS_RESTART = "systemctl --user restart docker"
ROOTLESS = {
    "firewall": ('nsenter -U --preserve-credentials -n -t "$(cat "$XDG_RUNTIME_DIR/docker.pid")" iptables -S',),
    "live restore": ("# run the engine as root",),
    "logout": LINGER,
    "engine says": ("# take the tcp:// host out of ~/.config/docker/daemon.json or the unit",),
    "engine says 2": ("docker --context rootless info",),
    "seccomp": ('# take "seccomp-profile" out of ~/.config/docker/daemon.json', ROOTLESS_RESTART),
    "mandatory access": (
        "# Debian, Ubuntu: run the engine as root, a rootless one cannot use AppArmor",
        '# Fedora: in ~/.config/docker/daemon.json: "selinux-enabled": true, then',
        ROOTLESS_RESTART,
    ),
    "limits": DELEGATE,
    "engine's disk": ("docker --context rootless system df", "docker --context rootless image prune"),
    "disk quota": ("# give /home/ada/.local/share/docker a file system of its own",),
}
PODMAN = {
    "seccomp": KERNEL,
    "mandatory access": (
        "# Debian, Ubuntu:",
        "sudo apt-get install apparmor && sudo systemctl restart podman.socket",
        "# Fedora: take SELINUX=disabled out of /etc/selinux/config, and boot",
    ),
    "limits": BOOT,
    "user namespaces": (
        '# run the sandboxes on Docker with "userns-remap": what Podman has for it is taken for drift',
    ),
    "engine's disk": (
        "podman --remote --url unix:///run/podman/podman.sock system df",
        "podman --remote --url unix:///run/podman/podman.sock image prune",
    ),
    "disk quota": ("# put /var/lib/containers/storage on xfs, mounted with pquota, under the driver overlay",),
}


def elsewhere(advice: dict[str, tuple[str, ...]], **commands: str) -> dict[str, tuple[str, ...]]:
    """The same advice for the other host, but for commands that reach the engine from here."""
    told = {check: (*ON_FAR, *remedy) for check, remedy in advice.items()}
    client = commands["client"]
    told["host"] = ()
    for of_this_host in ("firewall", "logout"):
        told.pop(of_this_host, None)
    told["engine's disk"] = (f"{client} system df", f"{client} image prune")
    if "engine says 2" in told:
        told["engine says 2"] = (f"{client} info",)
    return told


ADVICE: dict[str, dict[str, tuple[str, ...]]] = {
    "docker": DOCKER,
    "docker, containerd's store": DOCKER
    | {
        "user namespaces": (
            REMAPPED[0],
            '# and, as containerd\'s store has none: "features": {"containerd-snapshotter": false}',
            *REMAPPED[1:],
        ),
        "disk quota": (
            "# give /var/lib/containerd a file system of its own; or, on xfs with pquota, leave that store:",
            '# in /etc/docker/daemon.json: "features": {"containerd-snapshotter": false}',
            f"{RESTART}  # images and containers are then made anew",
        ),
    },
    "docker, users remapped": {check: remedy for check, remedy in DOCKER.items() if check != "user namespaces"},
    "docker, rootless": ROOTLESS,
    "docker, of a context on another host": elsewhere(DOCKER, client="docker --context far"),
    "docker, rootless on another host": elsewhere(
        ROOTLESS | {"disk quota": ("# give /home/ada/d a file system of its own",)}, client="docker --host ssh://far"
    ),
    "podman": PODMAN,
    "podman, rootless": {
        "logout": LINGER,
        "firewall": ("podman unshare --rootless-netns nft list ruleset",),
        "seccomp": KERNEL,
        "mandatory access": (
            "# Debian, Ubuntu: run the engine as root, a rootless one cannot use AppArmor",
            "# Fedora: take SELINUX=disabled out of /etc/selinux/config, and boot",
        ),
        "limits": DELEGATE,
        "engine's disk": (
            "podman --remote --url unix:///run/user/1000/podman/podman.sock system df",
            "podman --remote --url unix:///run/user/1000/podman/podman.sock image prune",
        ),
        "disk quota": ("# give /home/ada/c a file system of its own",),
    },
    "podman, on another host": elsewhere(PODMAN, client="podman --remote --url tcp://far:2375"),
}


@pytest.mark.parametrize("kind", ENGINES)
def test_what_is_wrong_with_an_engine(kind: str) -> None:
    """Each engine is mended by its own files and commands, and on its own host."""
    advice: dict[str, tuple[str, ...]] = {}
    for finding in (one for group in examine(ENGINES[kind].host()).values() for one in group):
        if finding.level is not Level.OK:
            advice[finding.check if finding.check not in advice else f"{finding.check} 2"] = finding.remedy
    assert advice == ADVICE[kind]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("unix:///run/docker.sock", ("sudo systemctl start docker",)),
        ("unix:///run/user/1000/docker.sock", ("systemctl --user start docker",)),
        ("unix:///run/podman/podman.sock", ("sudo systemctl start podman.socket",)),
        ("unix:///run/user/1000/podman/podman.sock", ("systemctl --user start podman.socket",)),
        ("tcp://127.0.0.1:2375", ("sudo systemctl start docker",)),
        ("tcp://far:2375", ("# on far:", "sudo systemctl start docker")),
        ("ssh://ada@far:22", ("ssh -l ada -p 22 -- far docker version",)),
    ],
)
def test_an_engine_that_does_not_answer(url: str, remedy: tuple[str, ...]) -> None:
    """What starts it follows from its address, and is never said of this host when it is on another one."""
    host = replace(SOUND, address=Address(url), engine=Unknown("no engine listens there"), network=Unknown("no engine"))
    (found,) = (finding for finding in examine(host)["Engine"] if finding.check == "engine")
    assert found.remedy == remedy
    absent = replace(host, socket=None)
    (found,) = (finding for finding in examine(absent)["Engine"] if finding.check == "engine")
    assert found.remedy[: len(remedy)] == remedy


@pytest.mark.parametrize("case", CASES)
def test_what_is_to_be_done_on_another_host(case: str) -> None:
    """Of an engine that is elsewhere, each line that changes its host stands after one that names it."""
    host = replace(SOUND, **CASES[case][0])
    host = replace(host, address=Address("ssh://far", context="far"))
    for finding in (one for group in examine(host).values() for one in group):
        for line in finding.remedy:
            is_of_the_engine = any(word in line for word in ("systemctl", "daemon.json", "reboot", "apt-get", "pquota"))
            assert not is_of_the_engine or finding.remedy[0] == "# on far:", finding


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("ada", "warning: logout: nothing of ada runs on after it"),
        ("", "ok: logout: the engine runs on after it"),
        (Unknown("no such user"), "warning: logout: could not be checked: no such user"),
    ],
)
def test_a_rootless_engine_when_its_user_logs_out(user: str | Unknown, text: str) -> None:
    """It ends, unless the user lingers."""
    engine = replace(ENGINE, security=frozenset({"rootless"}))
    (found,) = (
        one for one in findings(replace(SOUND, engine=engine, ends_with_logout_of=user)) if one.check == "logout"
    )
    assert f"{found.level}: {found.check}: {found.text}" == text


def test_a_rootless_engine_on_the_first_cgroups() -> None:
    """It can limit nothing there, whatever is delegated to it."""
    kind = ENGINES["docker, rootless"].host()
    assert not isinstance(kind.engine, Unknown)
    host = replace(kind, engine=replace(kind.engine, cgroup_version="1"))
    (found,) = (one for one in examine(host)["Kernel"] if one.check == "limits")
    assert "sudo grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1" in found.remedy


@pytest.mark.parametrize(
    ("url", "security", "words"),
    [
        ("unix:///run/docker.sock", frozenset(), "group docker, or give the sandboxes to others"),
        ("unix:///run/user/1000/docker.sock", frozenset({"rootless"}), "# give the sandboxes to others"),
    ],
)
def test_authors_who_may_use_the_engine(url: str, security: frozenset[str], words: str) -> None:
    """The user of a rootless engine cannot be taken out of its group."""
    socket = replace(SOUND.socket, writers={"user alice": SOUND.state_path})  # type: ignore[type-var]
    engine = replace(ENGINE, security=security)
    host = replace(SOUND, socket=socket, engine=engine, address=Address(url))
    (found,) = (one for one in examine(host)["Engine"] if one.check == "socket")
    assert found.remedy[0].endswith(words)
    assert ("group" in found.remedy[0]) is not bool(security)


NFT = """{"nftables": [{"chain": {"family": "inet", "table": "t", "name": "c", "type": "nat", "hook": "input"}}]}"""
NAMES = "# for all of Podman's networks; containers that ask Podman for names lose that"
KEEP = "# lost at the next boot, unless you save it with your firewall's rules"


def nft(chain: str, rule: str) -> tuple[str, ...]:
    return (
        "sudo nft add table inet reconciler",
        f"sudo nft 'add chain inet reconciler {chain} {{ type filter hook {chain} priority 0; }}'",
        f"sudo nft 'add rule inet reconciler {chain} {rule} drop'",
        KEEP,
    )


@pytest.mark.parametrize(
    ("kind", "rules", "host_remedy", "cloud_remedy"),
    [
        (
            "docker",
            parse("-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j ACCEPT"),
            ("sudo iptables -I INPUT -i br-1 -m conntrack --ctstate NEW -j DROP", KEEP),
            ("sudo iptables -I DOCKER-USER -i br-1 -d 169.254.169.254 -j DROP", KEEP),
        ),
        (
            "docker",
            parse_nftables(NFT),
            nft("input", 'iifname "br-1" ct state new'),
            nft("forward", 'iifname "br-1" ip daddr 169.254.169.254'),
        ),
        (
            "podman",
            parse_nftables(NFT, parse("")),
            (NAMES, "sudo iptables -I INPUT -i podman+ -m conntrack --ctstate NEW -j DROP", KEEP),
            (NAMES, "sudo iptables -I FORWARD -i podman+ -d 169.254.169.254 -j DROP", KEEP),
        ),
        (
            "podman",
            parse_nftables(NFT),
            (NAMES, *nft("input", 'iifname "podman*" ct state new')),
            (NAMES, *nft("forward", 'iifname "podman*" ip daddr 169.254.169.254')),
        ),
    ],
)
def test_an_open_firewall(kind: str, rules: Rules, host_remedy: tuple[str, ...], cloud_remedy: tuple[str, ...]) -> None:
    """It is closed by iptables where that is, otherwise by nft; of Podman, whose networks are many, for all of them."""
    found = {one.check: one for one in examine(replace(ENGINES[kind].host(), rules=rules))["Network"]}
    assert found["host's services"].remedy == host_remedy
    assert found["cloud metadata"].remedy == cloud_remedy
    assert {found[check].level for check in ("host's services", "cloud metadata")} == {Level.ERROR}


def test_neighbours_that_no_rule_keeps_apart() -> None:
    """A Docker of this host that was told to leave the firewall alone is told to take care of it again."""
    host = replace(ENGINES["docker"].host(), rules=parse(""))
    (found,) = (one for one in examine(host)["Network"] if one.check == "bridge")
    assert (found.level, found.remedy) == (
        Level.ERROR,
        ('# take "iptables": false out of /etc/docker/daemon.json', RESTART),
    )


def test_podman_with_no_sandbox() -> None:
    """Without a network of a sandbox, nothing is said of the rules for it."""
    host = replace(ENGINES["podman"].host(), interfaces=frozenset({"lo", "br-1"}))
    (found,) = (one for one in examine(host)["Network"] if one.level is Level.WARNING)
    assert found.text == "could not be checked: there is no podman+ here; is the engine's network elsewhere?"

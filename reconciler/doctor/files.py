"""Checks of the files: whether they can be read, who may write them, and whether changes are seen at once."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import EVERYONE, Host, PathAccess, Unknown

SAFE = "/etc/reconciler/policy.yaml"

UNWATCHED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "ceph", "afs", "lustre", "gpfs"}


def directory(host: Host) -> Iterator[Finding]:
    """Whether it is there and can be read, and not everyone can write in it."""
    shown, path, why = (
        str(host.directory_path),
        quote(str(host.directory_path)),
        "It says which sandboxes should exist.",
    )
    match host.directory:
        case None:
            yield error("sandboxes", f"{shown} does not exist", why, f"mkdir -p {path}")
        case Unknown(why=trouble):
            yield unchecked("sandboxes", f"{shown}: {trouble}")
        case PathAccess(kind=kind) if kind != "directory":
            yield error("sandboxes", f"{shown} is not a directory", why, "# name another one with --dir")
        case PathAccess(usable=False):
            yield error("sandboxes", f"{shown} cannot be read", why, f"sudo chmod o+rx {path}")
        case PathAccess(writers=writers) if EVERYONE in writers:
            why = "Every user of this host, and what breaks out of a sandbox, could declare sandboxes."
            yield error("sandboxes", f"everyone may write {shown}", why, f"sudo chmod o-w {path}")
        case PathAccess(writers=writers):
            yield ok("sandboxes", f"{shown}, for {_names(writers)} to write")


def watching(host: Host) -> Iterator[Finding]:
    """Whether changes in the directory are seen at once, which its file system decides."""
    if not isinstance(host.directory, PathAccess):
        return
    if isinstance(host.directory_mount, Unknown):
        yield unchecked("watching", host.directory_mount.why)
        return
    kind = host.directory_mount.file_system
    if kind in UNWATCHED or kind.startswith("fuse"):
        why = "A change made on another host is seen at the next resync, up to a minute later."
        remedy = "# keep the sandboxes on a local file system, or send the controller SIGHUP after each change"
        yield warning("watching", f"{host.directory_path} is on {kind}", why, remedy)
    else:
        yield ok("watching", f"changes are seen at once, on {kind}")


def policy(host: Host) -> Iterator[Finding]:
    """Whether it is there and valid, and cannot be changed by those whom it binds."""
    if host.policy_file is None:
        yield ok("policy", "no file is named: the built-in one is in force")
        return
    shown, why = str(host.policy_file), "Without its policy the controller does not start."
    if host.policy is None:
        yield error("policy", f"{shown} does not exist", why, "# name another one with --policy, or leave that out")
    elif isinstance(host.policy, Unknown):
        yield unchecked("policy", f"{shown}: {host.policy.why}")
    elif host.policy_invalid:
        yield error("policy", host.policy_invalid, why, "reconciler validate  # with the same options")
    else:
        yield _out_of_reach(host.policy, host.authors)


def _out_of_reach(policy: PathAccess, authors: frozenset[str]) -> Finding:
    """Whoever is bound by the policy must not be able to change it."""
    why = "Who writes sandboxes is not bound by a policy that he can change."
    both = {who: path for who, path in policy.writers.items() if who in authors | {EVERYONE}}
    if not both:
        return ok("policy", f"{policy.path}, for {_names(policy.writers)} to write")
    who, weak = next(iter(sorted(both.items())))
    return error("policy", f"{who} may write the sandboxes, and {weak}", why, *_protect(policy.path, weak))


def _protect(policy: Path, weak: Path) -> Iterator[str]:
    """Its own mode can be changed; of a directory above it, such as somebody's home, that may do harm."""
    path = quote(str(policy))
    if weak == policy:
        yield f"sudo chown root {path} && sudo chmod go-w {path}"
    else:
        yield f"sudo install -D -m 644 {path} {SAFE}"
        yield f"# and name it: --policy {SAFE}"


def state(host: Host) -> Iterator[Finding]:
    """Whether the controller can write there, and those who write the sandboxes cannot."""
    shown, path = str(host.state_path), quote(str(host.state_path))
    if isinstance(host.state, Unknown):
        yield unchecked("state", f"{shown}: {host.state.why}")
    elif host.state.kind != "directory":
        why = "Without it the controller does not start."
        yield error("state", f"{host.state.path} is not a directory", why, "# name another one with --state")
    elif not host.state.usable:
        why = "Without it the controller does not start."
        yield error("state", f"{shown} cannot be written", why, f'sudo install -d -m 750 -o "$USER" {path}')
    elif host.state.path != host.state_path:
        yield ok("state", f"{shown} will be made when it is needed")
    elif EVERYONE in host.state.writers:
        why = "Every user of this host could approve removals, and write what `status` shows."
        yield error("state", f"everyone may write {shown}", why, f"sudo chmod o-w {path}")
    elif both := sorted(host.authors & set(host.state.writers)):
        why = "Who writes sandboxes could approve their removal, and vouch for their containers."
        remedy = "# let the controller run as another user than those who write the sandboxes"
        yield warning("state", f"{both[0]} may write the sandboxes, and {shown}", why, remedy)
    else:
        yield ok("state", f"{shown}, for {_names(host.state.writers)} to write")


def _names(writers: Iterable[str]) -> str:
    return ", ".join(["root", *sorted(writers)])

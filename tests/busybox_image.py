"""An image without a registry: a static busybox under all its names, and a user `node` with the uid 1000."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.engine_api import import_image

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000:node:/home/node:/bin/sh\n",
    "etc/group": "root:x:0:\nnode:x:1000:\n",
    "www/index.html": "it works\n",
}
DIRECTORIES = {"root": 0o700, "home": 0o755, "home/node": 0o755, "tmp": 0o1777, "www": 0o755, "etc": 0o755}
OF_NODE = "home/node"
SERVE = 'CMD ["httpd", "-f", "-p", "3000", "-h", "/www"]'


def make_image(host: str, reference: str, changes: list[str] | None = None) -> None:
    """Makes `reference` (with a tag), which serves a page on port 3000 unless `changes` say otherwise."""
    import_image(host, reference, _tar(), [SERVE, *(changes or [])])


def _tar() -> bytes:
    busybox = static_busybox()
    if busybox is None:
        raise RuntimeError("cannot make an image: there is no static busybox (Debian: apt-get install busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in DIRECTORIES.items():
            tar.addfile(_member(name, tarfile.DIRTYPE, mode))
        for name, text in FILES.items():
            _add(tar, name, text.encode(), 0o644)
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for applet in _applets(busybox):
            link = _member(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            tar.addfile(link)
    return buffer.getvalue()


def static_busybox() -> Path | None:
    """This machine's busybox, None when there is none that runs without any library."""
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        return None
    needs_libraries = subprocess.run(["ldd", found], capture_output=True, check=False).returncode == 0
    return None if needs_libraries else Path(found)


def _applets(busybox: Path) -> list[str]:
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True, timeout=10).stdout.split()
    return [name for name in names if name != "busybox"]


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    member.uid = member.gid = 1000 if name == OF_NODE else 0
    return member


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))

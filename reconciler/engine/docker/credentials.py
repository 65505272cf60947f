"""What registries are shown, as the Docker CLI keeps it: `auths`, `credHelpers` and `credsStore` of its config.json."""

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HUB = "docker.io"
HUB_SERVER = "https://index.docker.io/v1/"

HELPER_SECONDS = 30


class CredentialsUnusable(Exception):
    """The text says why, and tells nothing secret."""


def credentials(file: Path, domain: str) -> Mapping[str, str]:
    """For the registry of this domain, in the words of the engine's API; empty where there are none.

    They are looked up anew each time. Raises `CredentialsUnusable`.
    """
    server = HUB_SERVER if domain == HUB else domain
    try:
        said = json.loads(file.read_bytes())
        names = [server, _host(server), domain]
        helper = next((said["credHelpers"][name] for name in names if name in said.get("credHelpers", {})), None)
        if helper := helper or said.get("credsStore"):
            return _from_helper(f"docker-credential-{helper}", server)
        entries = (entry for name, entry in said.get("auths", {}).items() if _host(name) in names)
        return _from_entry(next(entries, {}), server)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialsUnusable(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, LookupError):  # whose texts may quote what is in it
        raise CredentialsUnusable(f"{file} does not have the form of the Docker CLI's") from None


def _host(server: str) -> str:
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_entry(entry: Mapping[str, Any], server: str) -> Mapping[str, str]:
    if token := entry.get("identitytoken"):
        return {"identitytoken": token, "serveraddress": server}
    user, _, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    return {"username": user, "password": password, "serveraddress": server} if user else {}


def _from_helper(program: str, server: str) -> Mapping[str, str]:
    try:
        done = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except OSError as error:
        raise CredentialsUnusable(f"cannot run {program}: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise CredentialsUnusable(f"{program} gives no answer") from None
    if b"credentials not found" in done.stdout:
        return {}
    if done.returncode:
        raise CredentialsUnusable(f"{program} has failed")
    said = json.loads(done.stdout)
    if said["Username"] == "<token>":
        return {"identitytoken": said["Secret"], "serveraddress": server}
    return {"username": said["Username"], "password": said["Secret"], "serveraddress": server}

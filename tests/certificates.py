"""Throwaway certificates, by openssl: an authority, and what it has certified."""

import subprocess
from pathlib import Path


def authority(directory: Path) -> None:
    """A new authority in the directory: `ca.pem` and its key."""
    directory.mkdir(parents=True, exist_ok=True)
    _openssl(
        "req", "-x509", *_new_key(directory / "ca-key.pem"), "-subj", "/CN=authority", "-out", directory / "ca.pem"
    )


def certify(authority: Path, name: str, extensions: str) -> tuple[Path, Path]:
    """The files of a certificate and of its key, which stand beside those of the authority."""
    certificate, key = authority / f"{name}.pem", authority / f"{name}-key.pem"
    request, said = authority / f"{name}.csr", authority / f"{name}.ext"
    said.write_text(extensions)
    _openssl("req", *_new_key(key), "-subj", f"/CN={name}", "-out", request)
    by = ("-CA", authority / "ca.pem", "-CAkey", authority / "ca-key.pem", "-CAcreateserial")
    _openssl("x509", "-req", "-in", request, *by, "-extfile", said, "-days", "1", "-out", certificate)
    return certificate, key


def for_server(authority: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    return certify(authority, "server", f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth\n")


def for_client(authority: Path, directory: Path) -> Path:
    """A directory as the Docker CLI has it: `ca.pem`, `cert.pem` and `key.pem`."""
    directory.mkdir()
    certificate, key = certify(authority, "client", "extendedKeyUsage=clientAuth\n")
    for given, name in ((authority / "ca.pem", "ca.pem"), (certificate, "cert.pem"), (key, "key.pem")):
        (directory / name).write_bytes(given.read_bytes())
    return directory


def _new_key(file: Path) -> tuple[object, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

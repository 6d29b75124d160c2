"""The packages that `make package` makes, here of the test build's programs: what is in them, and that it runs."""

import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import TARGET, free_port

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    out = tmp_path_factory.mktemp("packages")
    subprocess.run([sys.executable, ROOT / "scripts/package.py", TARGET / "debug", out], check=True, cwd=ROOT)
    return out


@pytest.fixture(scope="module")
def installed(packages, tmp_path_factory):
    """The Debian package's files, unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    (package,) = packages.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def test_the_files_are_sound(packages):
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], check=True, cwd=packages)
    (package,) = packages.glob("*.deb")
    shown = subprocess.run(["dpkg-deb", "--info", package], check=True, capture_output=True, text=True).stdout
    assert "Package: geodynamo" in shown and "postinst" in shown and "conffiles" in shown
    (archive,) = packages.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"usr/bin/geodynamo", "usr/bin/geodynamo-loadgen", "lib/systemd/system/geodynamo.service"} <= names


def test_the_bill_of_materials_names_what_is_linked(packages):
    (path,) = packages.glob("*.cdx.json")
    bill = json.loads(path.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    names = {component["name"] for component in bill["components"]}
    assert {"rocksdb", "quinn", "crdts", "tokio", "rmp-serde", "hdrhistogram", "opentelemetry"} <= names
    assert "proptest" not in names, "tests are not part of the program"
    assert all(component["version"] for component in bill["components"])


def test_manuals_and_completions_are_there(installed):
    pages = {path.name for path in (installed / "usr/share/man/man1").iterdir()}
    assert {"geodynamo.1.gz", "geodynamo-serve.1.gz", "geodynamo-conflicts-restore.1.gz"} <= pages
    bash = (installed / "usr/share/bash-completion/completions/geodynamo").read_text()
    assert "--admin-port" in bash
    assert (installed / "usr/share/zsh/vendor-completions/_geodynamo").exists()


def test_the_service_tells_that_it_is_ready(installed, tmp_path):
    """The packaged configuration, but for its ports and folders, and the service manager's side of Type=notify."""
    config = (installed / "etc/geodynamo/region.toml").read_text()
    config = config.replace("/var/lib/geodynamo", str(tmp_path / "state"))
    for port in ("8000", "8001"):
        config = config.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (tmp_path / "region.toml").write_text(config)
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(60)
    process = subprocess.Popen(
        [installed / "usr/bin/geodynamo", "serve", "--config", tmp_path / "region.toml"],
        env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert told.recv(100) == b"READY=1"
        process.terminate()
        assert told.recv(100) == b"STOPPING=1"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_unit_is_one(installed):
    unit = (installed / "lib/systemd/system/geodynamo.service").read_text()
    assert "Type=notify" in unit and "ExecStart=/usr/bin/geodynamo serve" in unit

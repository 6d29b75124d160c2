#!/usr/bin/env python3
"""`make package`: a Debian package, a tarball, their checksums, and a bill of materials.

    package.py BINARIES OUT     BINARIES: the folder of the built programs; OUT: where to put the files

dpkg-deb lays out the package; the man pages and shell completions come from the program itself; the bill of materials
(CycloneDX 1.5) from what cargo says is linked.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ["geodynamo", "geodynamo-wan", "geodynamo-loadgen"]
MAINTAINER = "geodynamo <root@localhost>"

POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if ! getent passwd geodynamo >/dev/null; then
    adduser --system --group --quiet --home /var/lib/geodynamo geodynamo
  fi
  install -d -o geodynamo -g geodynamo -m 0750 /var/lib/geodynamo
  chgrp geodynamo /etc/geodynamo /etc/geodynamo/region.toml
  chmod 0750 /etc/geodynamo
  chmod 0640 /etc/geodynamo/region.toml
  if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
fi
"""
PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop geodynamo.service || true; fi
"""
POSTRM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
# Purging leaves /var/lib/geodynamo: it holds tables.
"""


def main():
    binaries, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    version = json.loads(cargo("metadata", "--no-deps", "--format-version", "1"))["packages"][0]["version"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        lay_out(tree, binaries)
        files = [debian(tree, out, version), tarball(tree, out, version), bill_of_materials(out, version)]
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (out / "SHA256SUMS").write_text(sums)
    for file in [*files, out / "SHA256SUMS"]:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def lay_out(tree, binaries):
    """The files as they are installed."""
    programs = tree / "usr/bin"
    programs.mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy(binaries / program, programs / program)
        subprocess.run(["strip", "--strip-debug", programs / program], check=True)
        (programs / program).chmod(0o755)
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([programs / "geodynamo", "manuals", made], check=True)
        for page in sorted(Path(made).glob("*.1")):
            place(gzip.compress(page.read_bytes(), mtime=0), tree / f"usr/share/man/man1/{page.name}.gz")
        completions = {
            "geodynamo.bash": "bash-completion/completions/geodynamo",
            "_geodynamo": "zsh/vendor-completions/_geodynamo",
            "geodynamo.fish": "fish/vendor_completions.d/geodynamo.fish",
        }
        for name, where in completions.items():
            place((Path(made) / name).read_bytes(), tree / "usr/share" / where)
    documents = tree / "usr/share/doc/geodynamo"
    place((ROOT / "README.md").read_bytes(), documents / "README.md")
    if (ROOT / "LICENSE").exists():
        place((ROOT / "LICENSE").read_bytes(), documents / "copyright")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        place(page.read_bytes(), documents / page.relative_to(ROOT))
    place((ROOT / "packaging/geodynamo.service").read_bytes(), tree / "lib/systemd/system/geodynamo.service")
    place((ROOT / "packaging/region.toml").read_bytes(), tree / "etc/geodynamo/region.toml")


def place(content, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def debian(tree, out, version):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    kilobytes = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    control = tree / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        f"""Package: geodynamo
Version: {version}
Architecture: {architecture}
Maintainer: {MAINTAINER}
Installed-Size: {kilobytes}
Depends: libc6 (>= 2.36), libstdc++6 (>= 12), libgcc-s1 (>= 12), adduser
Section: database
Priority: optional
Description: self-hosted DynamoDB whose tables span regions
 Each region is a process that holds full replicas of its tables in RocksDB and
 takes reads and writes at local speed. Regions exchange changes over QUIC and
 merge them as last-writer-wins CRDTs. Unmodified AWS SDKs are its clients.
"""
    )
    (control / "conffiles").write_text("/etc/geodynamo/region.toml\n")
    for name, script in [("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)]:
        (control / name).write_text(script)
        (control / name).chmod(0o755)
    package = out / f"geodynamo_{version}_{architecture}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", tree, package], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(control)
    return package


def tarball(tree, out, version):
    name = f"geodynamo-{version}-{os.uname().machine}-linux"
    path = out / f"{name}.tar.gz"

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(path, "w:gz", compresslevel=3) as tar:
        tar.add(tree, arcname=name, filter=plain)
    return path


def bill_of_materials(out, version):
    """What the program is made of: the packages that cargo links into it, builds and tests left out."""
    # By the features that the program is built with; metadata has those of the tests, too.
    tree = cargo("tree", "--package", "geodynamo", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}").decode()
    components = {}
    for line in tree.splitlines():
        package, _, rest = line.partition("|")
        name, version_text = package.split()[:2]
        # What was listed before is marked behind the license.
        license_text = rest.removesuffix(" (*)").strip()
        reference = f"pkg:cargo/{name}@{version_text.removeprefix('v')}"
        component = {
            "type": "library",
            "bom-ref": reference,
            "name": name,
            "version": version_text.removeprefix("v"),
            "purl": reference,
        }
        if license_text:
            component["licenses"] = [{"expression": license_text.replace("/", " OR ")}]
        if name != "geodynamo":
            components[reference] = component
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "geodynamo", "name": "geodynamo", "version": version}},
        "components": [components[reference] for reference in sorted(components)],
    }
    path = out / f"geodynamo-{version}.cdx.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


if __name__ == "__main__":
    main()

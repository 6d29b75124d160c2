"""What a reader relies on and the compiler does not check: layers, file lengths, and a project that holds all it needs.

`scripts/tidy.py` prints each fault with its place and exits 1 if there is one. It first proves, on small trees that break
one rule each, that it can find them.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX = 600
# Written so that this file does not hold it.
OUTSIDE = "/".join(["", "..", "shared", ""])
# Which crates of the house each may use: arrows go down, never back up (ARCHITECTURE.md, "Code map").
MAY_USE = {
    "topology": set(),
    "wan": {"topology"},
    "replicator-core": {"topology"},
    "simulation": {"replicator-core", "topology"},
    "replicator": {"replicator-core", "topology"},
    "json": set(),
    "item": {"json"},
    "exchange": {"item", "json"},
    "expression": {"item"},
    "storage": set(),
    "seal": set(),
    "rocks-env": {"seal"},
    "histogram": set(),
    "rocks": {"histogram", "rocks-env", "seal", "storage"},
    "cassandra": {"storage"},
    "engine": {"cassandra", "rocks", "storage"},
    "table": {"expression", "histogram", "item", "json", "replicator-core", "seal", "storage", "topology"},
    "archive": set(),
    "recovery": {"archive", "replicator-core", "storage", "table"},
    "api": {"expression", "item", "json", "policy", "storage", "table"},
    "transfer": {"api", "archive", "exchange", "item", "recovery", "storage", "table"},
    "policy": {"json"},
    "access": {"policy"},
    "iam": {"access", "policy"},
    "audit": {"access", "policy"},
    "command": {"access", "outgoing"},
    "console": set(),
    "outgoing": {"access"},
    "keyservice": {"outgoing", "seal"},
    "kinesis": {"item", "json", "outgoing", "replicator-core", "storage", "table"},
    "sinks": {"archive", "item", "json", "outgoing", "replicator-core", "storage", "table"},
    "backup": {"policy", "recovery", "replicator-core", "storage", "table"},
    "scaling": {"api", "policy", "replicator-core", "storage", "table"},
    "triggers": {"item", "json", "outgoing", "policy", "storage", "table"},
    "loadgen": {"access", "topology", "wan"},
}
# They stand above all layers: what they may use is not bounded. Nothing may use them but each other's tests.
ABOVE = {"geodynamo", "tests", "model", "fuzz"}
# Crates that must hear of time, randomness and the network from their callers.
PURE = {"topology", "replicator-core", "histogram", "json", "item", "exchange", "expression", "policy"}
IMPURE = {"tokio", "rand", "quinn", "rocksdb", "hyper"}


def main():
    prove()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    faults = list(find(ROOT, listed.splitlines()))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def find(root, files):
    """Yields what is wrong with these files of a tree."""
    for name in files:
        path = root / name
        if not path.is_file():
            continue
        if path.name == "Cargo.toml":
            yield from check_crate(name, tomllib.loads(path.read_text()))
        if path.suffix in (".rs", ".py", ".js", ".java") and "/generated/" not in name:
            text = path.read_text()
            lines = text.count("\n")
            if lines > LINES_MAX:
                yield f"{name}: {lines} lines; one noun a file, {LINES_MAX} at most"
            if OUTSIDE in text.replace('"', "/"):
                yield f"{name}: refers to a folder outside the project"


def check_crate(name, manifest):
    package = short(manifest.get("package", {}).get("name", ""))
    used = manifest.get("dependencies", {})
    if not package or package in ABOVE:
        return
    if package not in MAY_USE:
        yield f"{name}: {package} has no place in the layers"
        return
    for other in used:
        if other.startswith("geodynamo") and short(other) not in MAY_USE[package]:
            yield f"{name}: {package} may not use {short(other)}"
        if package in PURE and other in IMPURE:
            yield f"{name}: {package} is pure and may not use {other}"


def short(crate):
    return crate.removeprefix("geodynamo-")


def prove():
    """Negative controls: each tree breaks one rule and must be found out."""
    crate = '[package]\nname = "geodynamo-{}"\n[dependencies]\n{}.workspace = true\n'
    broken = {
        "Cargo.toml": crate.format("storage", "geodynamo-table"),
        "a/Cargo.toml": crate.format("item", "tokio"),
        "b/Cargo.toml": crate.format("unheard-of", "bytes"),
        "long.rs": "\n" * (LINES_MAX + 1),
        "outside.py": 'open("' + '../shared/x")\n',
    }
    for name, text in broken.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            if not list(find(Path(folder), [name])):
                sys.exit(f"tidy does not find what is wrong with {name}")


if __name__ == "__main__":
    sys.exit(main())

"""What a reader relies on and the compiler does not check: layers, rooms within a crate, file lengths, and a project that holds
all it needs.

`scripts/tidy.py` prints each fault with its place and exits 1 if there is one. It first proves, on small trees that break
one rule each, that it can find them.
"""

import re
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
    "transfer": {"api", "archive", "exchange", "expression", "item", "json", "recovery", "seal", "storage", "table"},
    "policy": {"json"},
    "reference": set(),
    "access": {"policy"},
    "iam": {"access", "policy"},
    "audit": {"access", "policy"},
    "metrics": {"histogram"},
    "http": {"access", "api", "histogram", "iam", "metrics", "policy", "replicator-core", "storage"},
    "admin": {"access", "http", "metrics", "policy"},
    "command": {"access", "metrics", "outgoing"},
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
# The rooms of a large crate, from the ground up: each is a folder, or a file, of its src. A room knows those before it alone,
# and a room's parts (structs that have an engine) have their methods in that room and in no other.
ROOMS = {
    "region/table": [
        "time", "schema", "layout", "store", "table", "local", "read", "write", "rows", "log", "sealing", "indexes", "streams",
        "catalog", "indexing", "table_keys", "ttl", "progress", "merge", "verify", "recovery", "background",
        "following", "tables",
    ],
}  # fmt: skip
# Files of such a crate that every room may use, and that may use every room.
FACE = {"lib", "error"}
# They stand above all layers: what they may use is not bounded. Nothing may use them but each other's tests.
ABOVE = {"geodynamo", "tests", "model", "fuzz"}
# Crates that must hear of time, randomness and the network from their callers.
PURE = {"topology", "replicator-core", "histogram", "json", "item", "exchange", "expression", "policy"}
IMPURE = {"tokio", "rand", "quinn", "rocksdb", "hyper"}


def main():
    prove()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = listed.splitlines()
    faults = [*find(ROOT, files), *check_rooms(ROOT, files)]
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
        if name == "ARCHITECTURE.md" or name.startswith("docs/internals/"):
            yield from check_page(name, path.read_text(), files)
        if path.suffix in (".rs", ".py", ".js", ".java") and "/generated/" not in name:
            text = path.read_text()
            lines = text.count("\n")
            if lines > LINES_MAX:
                yield f"{name}: {lines} lines; one noun a file, {LINES_MAX} at most"
            if OUTSIDE in text.replace('"', "/"):
                yield f"{name}: refers to a folder outside the project"


def check_rooms(root, files):
    """Yields what is wrong with the rooms of the crates that have some."""
    for crate, rooms in ROOMS.items():
        src = f"{crate}/src/"
        texts = {name: plain((root / name).read_text()) for name in files if name.startswith(src) and is_code(root / name)}
        face = root / src / "lib.rs"
        names = exported(face.read_text()) if face.is_file() else {}
        parts = {part: room_of(name, src) for name, text in texts.items() for part in PART.findall(text)}
        for name, text in texts.items():
            room = room_of(name, src)
            if room in FACE:
                continue
            if room not in rooms:
                yield f"{name}: {room} has no place among the rooms of {crate}"
                continue
            for used in sorted({names.get(first, first) for first in firsts(text)} & set(rooms)):
                if rooms.index(used) > rooms.index(room):
                    yield f"{name}: {room} may not use {used}, which stands above it"
            for part in METHODS.findall(text):
                if parts.get(part, room) != room:
                    yield f"{name}: {part} is a part of the room {parts[part]}, and has its methods there"


# A part of a crate with rooms, and methods of one.
PART = re.compile(r"^(?:pub(?:\(\w+\))? )?struct (\w+)<E: Engine>", re.MULTILINE)
METHODS = re.compile(r"^impl<E: Engine> (\w+)<E>", re.MULTILINE)


def is_code(path):
    tests = path.name == "tests.rs" or "tests" in path.parts or path.parent.name == "model"
    return path.suffix == ".rs" and not tests and path.is_file()


def plain(text):
    """A file's code without comments and without the tests at its end."""
    return re.sub(r"//.*", "", text.split("\n#[cfg(test)]\nmod ")[0])


def room_of(name, src):
    return name[len(src) :].split("/")[0].removesuffix(".rs")


def exported(face):
    """The names that a crate's face hands out, each with the room that it is from."""
    uses = re.findall(r"pub use (?!crate::\{)(?:crate::)?(\w+)((?:::\w+)*)(?:::\{([^}]*)\})?;", face)
    return {name: room for room, path, many in uses for name in re.findall(r"\w+", many or path.split("::")[-1])}


def firsts(text):
    """The first segments of all paths that begin with `crate::`."""
    for path in re.findall(r"\bcrate::(\{|\w+)(?=((?:[^;{}]|\{[^;]*?\})*))", text):
        if path[0] != "{":
            yield path[0]
    for tree in re.findall(r"\buse crate::\{([^;]*)\};", text):
        depth = 0
        for piece in re.findall(r"[{}]|(?<!:)\b\w+", tree):
            if piece in "{}":
                depth += 1 if piece == "{" else -1
            elif depth == 0:
                yield piece


def check_page(name, text, files):
    """A page about the code names files that are there, by the ends of their paths (`crate/src/file.rs` without the `src`, too)."""
    ends = {f"/{file}" for file in files} | {"/" + file.replace("/src/", "/") for file in files}
    for named in sorted(set(re.findall(r"`([\w/.-]+\.(?:rs|py|js|cc|c|java))`", text))):
        if not any(end.endswith(f"/{named}") for end in ends):
            yield f"{name}: there is no {named}"


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
        "docs/internals/page.md": "as `gone/since.rs` does",
        "outside.py": 'open("' + '../shared/x")\n',
    }
    for name, text in broken.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if not list(find(Path(folder), [name])):
                sys.exit(f"tidy does not find what is wrong with {name}")
    prove_rooms()


def prove_rooms():
    """Negative controls of the rooms: each file alone is a fault, beside a crate that has none."""
    src = "region/table/src/"
    sound = {
        f"{src}lib.rs": "mod merge;\nmod write;\npub use merge::Merge;\npub mod usage {\n    pub use crate::{merge::a, table::b};\n}\n",
        f"{src}merge/mod.rs": "use crate::write::Writes;\npub struct Merge<E: Engine>(Writes<E>);\nimpl<E: Engine> Merge<E> {}\n",
        f"{src}write/mod.rs": "pub struct Writes<E: Engine>(E);\n#[cfg(test)]\nmod tests {\n    use crate::Merge;\n}\n",
    }
    broken = {
        "": None,
        f"{src}write/up.rs": "use crate::{Result, merge::Merge};\n",
        f"{src}schema/grouped.rs": "use crate::{\n    Result,\n    table::{key_len, key_max},\n};\n",
        f"{src}write/inline.rs": "fn up() { crate::merge::apply() }\n",
        f"{src}write/by_name.rs": "use crate::Merge;\n",
        f"{src}write/methods.rs": "impl<E: Engine> Merge<E> {}\n",
        f"{src}cellar.rs": "\n",
    }
    for name, text in broken.items():
        with tempfile.TemporaryDirectory() as folder:
            tree = {**sound, **({name: text} if name else {})}
            for path, content in tree.items():
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).write_text(content)
            if bool(list(check_rooms(Path(folder), list(tree)))) != bool(name):
                sys.exit(f"tidy does not tell what is wrong with rooms: {name or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())

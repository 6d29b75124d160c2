"""Builds RocksDB once, as a static library outside the clone, and prints the folder that holds it.

The crate librocksdb-sys compiles RocksDB's 343 source files one by one, and most of that time goes into the same headers
again and again. RocksDB's sources are kept fit for being compiled together (its own `make unity_test`), so this compiles
them in groups, from the very sources and with the very options of the crate that Cargo.lock names: about a quarter of
the work. The crate then links the library (ROCKSDB_LIB_DIR, ROCKSDB_STATIC).

The folder's name is a hash of all that goes into the library, so another version or compiler gets another one. Progress goes to
standard error.
"""

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("GEODYNAMO_CACHE", Path.home() / ".cache" / "geodynamo"))
# Source files compiled together. More is less work in all, and less to share among cores.
GROUP = 16
# As build.rs of librocksdb-sys has them for Linux with the features lz4 and zstd. Warnings are RocksDB's affair.
OPTIONS = (
    "-O3 -ffunction-sections -fdata-sections -fPIC -std=c++20 -w -include cstdint -DLZ4=1 -DZSTD=1 -DNDEBUG=1 "
    "-DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX "
    "-DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT "
    "-DROCKSDB_RANGESYNC_PRESENT"
).split()
# RocksDB's checksums need these instructions, which every such processor in use has.
PROCESSOR = {"x86_64": ["-msse2"], "aarch64": ["-march=armv8-a+crc+aes+crypto"]}


def main():
    crates = source_folders()
    sources = crates["librocksdb-sys"]
    compiler = os.environ.get("CXX", "g++").split()
    target = subprocess.check_output([compiler[-1], "-dumpmachine"], text=True).strip()
    options = [*OPTIONS, *PROCESSOR.get(target.split("-")[0], [])]
    version = subprocess.check_output([compiler[-1], "--version"], text=True).splitlines()[0]
    ingredients = json.dumps([sources.name, crates["zstd-sys"].name, crates["lz4-sys"].name, options, version, GROUP])
    folder = CACHE / "rocksdb" / hashlib.sha256(ingredients.encode()).hexdigest()[:16]
    if not (folder / "librocksdb.a").is_file():
        build(folder, sources, compiler, [*options, *includes(crates)])
    print(folder)


def source_folders():
    """Where cargo keeps the sources of the crates that matter, in the versions of Cargo.lock."""
    subprocess.run(["cargo", "fetch", "--quiet", "--locked"], cwd=ROOT, check=True, stdout=sys.stderr)
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline"]
    packages = json.loads(subprocess.check_output(command, cwd=ROOT))["packages"]
    wanted = ("librocksdb-sys", "zstd-sys", "lz4-sys")
    return {p["name"]: Path(p["manifest_path"]).parent for p in packages if p["name"] in wanted}


def includes(crates):
    folders = ["rocksdb/include", "rocksdb", ".", crates["zstd-sys"] / "zstd/lib", crates["lz4-sys"] / "liblz4/lib"]
    return [word for folder in folders for word in ("-I", str(folder))]


def build(folder, sources, compiler, options):
    listed = (sources / "rocksdb_lib_sources.txt").read_text().split()
    # The crate brings a version of this one that is made already.
    listed.remove("util/build_version.cc")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        work = Path(work)
        units = [sources / "build_version.cc"]
        for start in range(0, len(listed), GROUP):
            unit = work / f"group{start // GROUP:02}.cc"
            unit.write_text("".join(f'#include "{name}"\n' for name in listed[start : start + GROUP]))
            units.append(unit)
        cores = len(os.sched_getaffinity(0))
        print(f"== compiling RocksDB: {len(listed)} files in {len(units)} groups on {cores} cores", file=sys.stderr)
        done = Progress(len(units))

        def compile_unit(unit):
            target = work / f"{unit.stem}.o"
            subprocess.run([*compiler, *options, "-c", unit, "-o", target], cwd=sources, check=True)
            done.one()
            return target

        with concurrent.futures.ThreadPoolExecutor(cores) as pool:
            objects = list(pool.map(compile_unit, units))
        library = work / "library"
        library.mkdir()
        subprocess.run(["ar", "crs", library / "librocksdb.a", *objects], check=True)
        # Whole or not at all: a build that is broken off leaves nothing that looks done.
        shutil.rmtree(folder, ignore_errors=True)
        library.rename(folder)


class Progress:
    """Counts what is done, on one line of a terminal, on a line each elsewhere."""

    def __init__(self, total):
        self.total, self.count, self.lock = total, 0, threading.Lock()

    def one(self):
        with self.lock:
            self.count += 1
            end = "\r" if sys.stderr.isatty() and self.count < self.total else "\n"
            print(f"   RocksDB: {self.count} of {self.total} groups", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

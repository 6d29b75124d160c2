//! Compiles the file system against the headers of the very RocksDB that is linked.

use std::{env, fs, path::PathBuf};

/// What `src/filesystem.cc` relies on though no header has it: RocksDB's C interface keeps it to itself.
const ENV_OF_C: &str = "struct rocksdb_env_t {\n  Env* rep;\n  bool is_default;\n};";

fn main() {
    println!("cargo:rerun-if-changed=src/filesystem.cc");
    println!("cargo:rerun-if-changed=src/manifest.cc");
    println!("cargo:rerun-if-changed=src/waits.cc");
    let sources = env::var_os("DEP_ROCKSDB_CARGO_MANIFEST_DIR").expect("librocksdb-sys tells where its sources are");
    let rocksdb = PathBuf::from(sources).join("rocksdb");
    let interface = fs::read_to_string(rocksdb.join("db/c.cc")).expect("RocksDB's sources are there");
    assert!(
        interface.contains(ENV_OF_C),
        "RocksDB's rocksdb_env_t has another layout: change src/filesystem.cc with it"
    );
    // As RocksDB itself is compiled (scripts/rocksdb.py): classes must have one layout on both sides.
    cc::Build::new()
        .cpp(true)
        .file("src/filesystem.cc")
        .file("src/manifest.cc")
        .file("src/waits.cc")
        .include(rocksdb.join("include"))
        // What writes manifests is in RocksDB's library, but not in its interface.
        .include(&rocksdb)
        .std("c++20")
        .flag("-include")
        .flag("cstdint")
        .define("NDEBUG", "1")
        .define("OS_LINUX", None)
        .define("ROCKSDB_PLATFORM_POSIX", None)
        .define("ROCKSDB_LIB_IO_POSIX", None)
        .define("HAVE_ALIGNED_NEW", None)
        .define("HAVE_UINT128_EXTENSION", None)
        .define("ROCKSDB_SCHED_GETCPU_PRESENT", None)
        .define("ROCKSDB_AUXV_GETAUXVAL_PRESENT", None)
        .define("ROCKSDB_FALLOCATE_PRESENT", None)
        .define("ROCKSDB_RANGESYNC_PRESENT", None)
        .flag_if_supported("-Wall")
        .flag_if_supported("-Wextra")
        .flag_if_supported("-Wno-unused-parameter")
        .compile("geodynamo_rocks_env");
}

//! What reads bytes that others made: each reader is a target that any bytes may be thrown at. None may panic, run without
//! end, or read what it cannot write again.
//!
//! `cargo test -p geodynamo-fuzz` throws the kept corpus (`corpus/`) and changes of it; `scripts/fuzz` runs a target under
//! libFuzzer, guided by coverage.

mod api;
mod arns;
mod bytes_to;
mod expressions;
mod imports;
mod items;
mod links;
mod mutate;
mod policies;
mod query;
mod signatures;

pub use mutate::Mutator;

/// A reader.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is its corpus's folder's too.
    pub name: &'static str,
    /// Reads these bytes, and panics if something is wrong.
    pub run: fn(&[u8]),
}

/// The most bytes that a target is given: enough for every limit on expressions, and quick.
pub const BYTES_MAX: usize = 8 * 1024;

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "expressions",
        run: expressions::run,
    },
    Target {
        name: "statements",
        run: expressions::statements,
    },
    Target {
        name: "api",
        run: api::run,
    },
    Target {
        name: "values",
        run: items::values,
    },
    Target {
        name: "stored-items",
        run: items::stored,
    },
    Target {
        name: "keys",
        run: items::keys,
    },
    Target {
        name: "imports",
        run: imports::run,
    },
    Target {
        name: "links",
        run: links::run,
    },
    Target {
        name: "policies",
        run: policies::run,
    },
    Target {
        name: "arns",
        run: arns::run,
    },
    Target {
        name: "query",
        run: query::run,
    },
    Target {
        name: "signatures",
        run: signatures::run,
    },
];

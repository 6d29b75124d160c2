//! File descriptors, of which each connection and each open file of the database takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps the process's memory, which keys and items are in, from being written to a file when it crashes.
pub(crate) fn no_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Core).maximum,
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!(%error, "core dumps are as the system has them");
    }
}

/// Descriptors for everything but clients: the database's files, links, logs.
const OTHERS: u64 = 1024;

/// The most that is asked for, whatever is allowed.
const FILES_MAX: u64 = 1 << 20;

/// How many files a process with so many connections wants to open.
pub(crate) fn wanted(connections: u64) -> u64 {
    connections.saturating_add(OTHERS).min(FILES_MAX)
}

/// Lets the process open as many files as `connections` connections and the database need, if the system allows it; says
/// so in the log if not.
pub(crate) fn raise_limit(connections: u64) {
    let wanted = wanted(connections);
    let now = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if is_enough(now.current) {
        return;
    }
    let current = if is_enough(now.maximum) {
        Some(wanted)
    } else {
        now.maximum
    };
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current,
            maximum: now.maximum,
        },
    );
    if raised.is_err() || !is_enough(current) {
        tracing::warn!(
            wanted,
            allowed = current,
            "the system allows too few open files for all connections: raise the limit (ulimit -n), or lower \
             limits.connections"
        );
    }
}

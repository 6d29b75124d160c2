//! What the process was built from. `make package` sets the commit and the date; other builds do not know them, so that a
//! commit alone compiles nothing anew.

use std::sync::LazyLock;

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, from `GEODYNAMO_COMMIT` at build time.
pub const COMMIT: &str = match option_env!("GEODYNAMO_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The day, from `GEODYNAMO_BUILD_DATE` at build time.
pub const DATE: &str = match option_env!("GEODYNAMO_BUILD_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// What `geodynamo --version` prints behind the name.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT}, built {DATE})"));
    &TEXT
}

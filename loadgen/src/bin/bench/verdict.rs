//! What is to be said of an outcome.

use std::io;

use geodynamo_loadgen::load::Outcome;

/// Fails if a request was not answered as it should, or none was.
pub(crate) fn no_errors(outcome: &Outcome) -> io::Result<()> {
    match &outcome.first_error {
        None if outcome.done > 0 => Ok(()),
        None => Err(io::Error::other("no request was answered")),
        Some(error) => Err(io::Error::other(format!(
            "{} requests failed; the first: {error}",
            outcome.errors
        ))),
    }
}

/// Whether what is wanted is kept, in a word.
pub(crate) fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "BROKEN" }
}

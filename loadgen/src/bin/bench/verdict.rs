//! What is to be said of an outcome.

use std::io;

use geodynamo_loadgen::load::Outcome;

/// Fails if a request was not answered as it should.
pub(crate) fn no_errors(outcome: &Outcome) -> io::Result<()> {
    match &outcome.first_error {
        None => Ok(()),
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

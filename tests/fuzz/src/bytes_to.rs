//! Parts of an input.

/// Takes a byte off the front; 0 if there is none.
pub(crate) fn byte(bytes: &mut &[u8]) -> u8 {
    match bytes.split_first() {
        Some((first, rest)) => {
            *bytes = rest;
            *first
        }
        None => 0,
    }
}

/// What stands between zero bytes, as text; what is not UTF-8 is left out.
pub(crate) fn texts(bytes: &[u8]) -> Vec<&str> {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect()
}

//! Names of columns and tables, and the digests that tell rows apart.

use aws_lc_rs::digest::{SHA256, digest};

/// The longest name that PostgreSQL does not cut.
const NAME_LEN_MAX: usize = 63;
/// Of a name that is cut, the digits of its digest that take the rest's place.
const DIGEST_DIGITS: usize = 8;

/// The column that tells rows apart. A key itself may be too long for an index, and text of PostgreSQL's cannot have U+0000.
pub(crate) const KEY: &str = "_key";
/// The column with the item.
pub(crate) const ITEM: &str = "item";

/// What a row has in [`KEY`].
pub(crate) fn digest_of(key: &[u8]) -> Vec<u8> {
    digest(&SHA256, key).as_ref().to_vec()
}

/// A name that PostgreSQL does not cut: a longer one ends in a digest of itself.
pub(crate) fn fitting(name: &str) -> String {
    let name = name.replace('\0', "\u{fffd}");
    if name.len() <= NAME_LEN_MAX {
        return name;
    }
    let hex: String = digest_of(name.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut end = NAME_LEN_MAX - DIGEST_DIGITS - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{}", &name[..end], &hex[..DIGEST_DIGITS])
}

/// Columns' names for key attributes: their own where they can be had, with underscores behind them where not.
pub(crate) fn columns<'a>(attributes: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: Vec<String> = vec![KEY.into(), ITEM.into()];
    for attribute in attributes {
        let mut name = fitting(attribute);
        while taken.contains(&name) {
            name = fitting(&format!("{name}_"));
        }
        taken.push(name);
    }
    taken.split_off(2)
}

/// A name in quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(fitting("orders"), "orders");
        let long = "é".repeat(100);
        let (one, other) = (fitting(&long), fitting(&format!("{long}x")));
        assert!(one.len() <= NAME_LEN_MAX && other.len() <= NAME_LEN_MAX && one != other);
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(columns(["item", "item_"].into_iter()), ["item_", "item__"]);
        assert_eq!(columns(["_key", "pk"].into_iter()), ["_key_", "pk"]);
        assert_eq!(digest_of(b"a").len(), 32);
    }
}

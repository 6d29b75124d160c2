//! Whose a table is, as its name in the catalog tells it.
//!
//! A region's tables are found by their names. Those of the cluster's own account have the names that clients gave them; those
//! of another account have that account before them, `123456789012@orders`. No client can write such a name, since names have no
//! `@`, and it travels to other regions, into backups and into the labels of metrics like any name.

use std::borrow::Cow;

/// What stands between an account and a name.
const SEPARATOR: char = '@';
/// How many digits an account has.
const ACCOUNT_LEN: usize = 12;

/// Whether this is an account: twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT_LEN && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether clients can call a table so, as far as accounts are concerned: the catalog's names of other accounts' tables are none.
pub fn is_given_name(name: &str) -> bool {
    !name.contains(SEPARATOR)
}

/// The catalog's name of a table that `account` calls `name`, where the cluster's own account is `own`; `None` if no client
/// can call a table so.
pub fn stored_name<'n>(own: &str, account: &str, name: &'n str) -> Option<Cow<'n, str>> {
    if !is_given_name(name) {
        return None;
    }
    Some(if account == own {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{account}{SEPARATOR}{name}"))
    })
}

/// The account and the name that clients know, of a name in the catalog.
pub fn owner_and_name<'n>(own: &'n str, stored: &'n str) -> (&'n str, &'n str) {
    stored.split_once(SEPARATOR).unwrap_or((own, stored))
}

/// The name that clients know, of a name in the catalog.
pub fn given_name(stored: &str) -> &str {
    owner_and_name("", stored).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "000000000000";
    const OTHER: &str = "111122223333";

    #[test]
    fn names_tell_whose_a_table_is() {
        assert_eq!(stored_name(OWN, OWN, "t").unwrap(), "t");
        assert_eq!(stored_name(OWN, OTHER, "t").unwrap(), "111122223333@t");
        assert_eq!(stored_name(OTHER, OTHER, "t").unwrap(), "t");
        // Nobody gets at another account's table by its name in the catalog.
        assert_eq!(stored_name(OWN, OWN, "111122223333@t"), None);
        assert_eq!(owner_and_name(OWN, "111122223333@t"), (OTHER, "t"));
        assert_eq!(owner_and_name(OWN, "t"), (OWN, "t"));
        assert_eq!(given_name("111122223333@t"), "t");
        assert!(is_account(OTHER) && !is_account("11112222333") && !is_account("11112222333x"));
    }
}

//! Which of RocksDB's errors pass, and which do not.

use geodynamo_storage::Trouble;

/// What RocksDB's and the operating system's texts say of the kinds that are told apart; the first that fits counts. RocksDB
/// gives an error as text only, with `strerror`'s words in it.
const TEXTS: [(&str, Trouble); 5] = [
    ("No space left on device", Trouble::NoRoom),
    ("Disk quota exceeded", Trouble::NoRoom),
    ("Read-only file system", Trouble::ReadOnly),
    ("Corruption", Trouble::Broken),
    ("is damaged", Trouble::Broken),
];

/// What trouble an error of a write, or of an attempt to open the store, tells of.
pub(crate) fn of(text: &str) -> Trouble {
    let found = TEXTS.iter().find(|(part, _)| text.contains(part));
    found.map_or(Trouble::WritesFail, |(_, trouble)| *trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let check = |text: &str, expect: Trouble| assert_eq!(of(text), expect, "{text}");
        check(
            "IO error: No space left on device: While appending to file: /d/db/000012.log: No space left on device",
            Trouble::NoRoom,
        );
        check(
            "IO error: While appending to file: /d/db/000012.log: Disk quota exceeded",
            Trouble::NoRoom,
        );
        check(
            "IO error: While open a file for appending: /d/db/000013.sst: Read-only file system",
            Trouble::ReadOnly,
        );
        check(
            "IO error: While fdatasync: /d/db/000012.log: Input/output error",
            Trouble::WritesFail,
        );
        check("Corruption: block checksum mismatch: stored = 1", Trouble::Broken);
        check("Shutdown in progress", Trouble::WritesFail);
    }
}

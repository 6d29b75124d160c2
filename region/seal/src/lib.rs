//! Encryption at rest: keys, and what is sealed under them.
//!
//! A *region key* comes from outside: a file, an environment variable, a command ([`RegionKey`]). It seals nothing but *data
//! keys*, which a region makes itself and keeps, wrapped, in its *keyring* ([`Keyring`]). Under a data key three kinds of
//! things are sealed:
//!
//! - **Files** ([`FileCipher`]) are written bit by bit and read anywhere: AES-256 in counter mode, under a key that is the
//!   file's own, behind a header that is authenticated.
//! - **Rows** ([`RowKey::seal`]) of tables that have a key of their own are sealed one by one, too: AES-256-GCM-SIV.
//! - **Objects** ([`Keyring::seal`]) are written and read whole: AES-256-GCM, under a key of their own, too.
//!
//! # No key stream is used twice
//! The key of a file or object is derived from a data key and a salt of 256 random bits, which is made anew each time a header is
//! written; nobody can ask for a cipher to write with and choose its salt. So two files never share a key, nor do two lives of
//! one file that is written over, nor two processes that were started on copies of one directory. Within a file a
//! place of the key stream is its own offset's; what keeps a writer from going back is said where files are written
//! (`geodynamo-rocks-env`).

mod error;
mod file;
mod keyring;
mod object;
mod region_key;
mod row;
mod secret;
mod witness;

pub use error::{Result, SealError};
pub use file::{FILE_HEADER_BYTES, FileCipher, file_key_id, is_header};
pub use keyring::{Entry, KeyId, Keyring, KeyringFile};
pub use object::is_object;
pub use region_key::{LocalKey, MasterKeys, RegionKey};
pub use row::{RowKey, SEALED_ROW_BYTES, sealed_under};
pub use secret::{KEY_BYTES, Secret};
pub use witness::{Use, Witness};

//! `NextToken`: where a SELECT goes on, good for that statement alone.

use bytes::Bytes;
use geodynamo_item::{AttributeValue, Item, codec};
use geodynamo_json::{Writer, decode_base64};
use geodynamo_table::Table;
use xxhash_rust::xxh3::Xxh3;

use super::select::Position;
use crate::errors::ApiError;

/// The first byte of every token.
const VERSION: u8 = 1;
/// Version, digest and range.
const HEAD: usize = 1 + 8 + 8;

/// What a token belongs to: a table, a statement and its parameters, as one number. It guards against mistakes; a forged
/// token reads no more than its statement may.
pub(super) fn digest(table: &Table, statement: &str, parameters: &Option<Vec<AttributeValue>>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&table.id().to_be_bytes());
    hash.update(&(statement.len() as u64).to_be_bytes());
    hash.update(statement.as_bytes());
    if let Some(parameters) = parameters {
        let list = AttributeValue::L(parameters.clone());
        let mut bytes = Vec::with_capacity(64);
        codec::encode(&Item::from_iter([("p".into(), list)]), &mut bytes);
        hash.update(&bytes);
    }
    hash.digest()
}

/// A token's text.
pub(super) fn write(position: &Position, digest: u64) -> String {
    let mut bytes = Vec::with_capacity(HEAD + 64);
    bytes.push(VERSION);
    bytes.extend_from_slice(&digest.to_be_bytes());
    bytes.extend_from_slice(&(position.range as u64).to_be_bytes());
    if let Some(key) = &position.key {
        codec::encode(key, &mut bytes);
    }
    let mut writer = Writer::new();
    writer.base64(&bytes);
    String::from_utf8_lossy(writer.as_bytes()).trim_matches('"').to_owned()
}

/// The position that a token stands for, if it is of this statement.
pub(super) fn read(token: &str, digest: u64) -> Result<Position, ApiError> {
    let bytes = decode_base64(token).map_err(|_| ApiError::invalid_next_token())?;
    let (head, key) = bytes
        .split_first_chunk::<HEAD>()
        .ok_or_else(ApiError::invalid_next_token)?;
    let [VERSION, of @ ..] = head else {
        return Err(ApiError::invalid_next_token());
    };
    let (of_digest, range) = of.split_at(8);
    if *of_digest != digest.to_be_bytes() {
        return Err(ApiError::next_token_of_another_statement());
    }
    let range = range.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let key = match key {
        [] => None,
        key => Some(codec::decode(&Bytes::copy_from_slice(key)).map_err(|_| ApiError::invalid_next_token())?),
    };
    Ok(Position {
        range: usize::try_from(range).map_err(|_| ApiError::invalid_next_token())?,
        key,
    })
}

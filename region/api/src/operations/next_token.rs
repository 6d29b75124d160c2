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

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: u64 = 0x0123_4567_89AB_CDEF;

    fn position(range: usize, key: Option<&str>) -> Position {
        let item = |key: &str| Item::from_iter([("pk".into(), AttributeValue::S(key.into()))]);
        Position {
            range,
            key: key.map(item),
        }
    }

    /// The form that tokens have had since version 1: a client may hold one while the server is replaced.
    #[test]
    fn tokens_keep_their_form() {
        for (position, token) in [
            (position(0, Some("a")), "AQEjRWeJq83vAAAAAAAAAAABAQJwawEBYQ=="),
            (position(258, None), "AQEjRWeJq83vAAAAAAAAAQI="),
        ] {
            assert_eq!(write(&position, DIGEST), token);
            assert_eq!(read(token, DIGEST), Ok(position));
        }
    }

    #[test]
    fn other_tokens_are_refused() {
        let token = write(&position(3, Some("a")), DIGEST);
        assert_eq!(
            read(&token, DIGEST + 1),
            Err(ApiError::next_token_of_another_statement())
        );
        let of = |bytes: &[u8]| {
            let mut writer = Writer::new();
            writer.base64(bytes);
            String::from_utf8_lossy(writer.as_bytes()).trim_matches('"').to_owned()
        };
        let bytes = decode_base64(&token).unwrap();
        let of_version_2 = [&[2], &bytes[1..]].concat();
        for broken in [
            "",
            "?",
            "AA==",
            &of(&bytes[..16]),
            &of(&bytes[..20]),
            &of(&of_version_2),
        ] {
            assert_eq!(read(broken, DIGEST), Err(ApiError::invalid_next_token()), "{broken}");
        }
    }
}

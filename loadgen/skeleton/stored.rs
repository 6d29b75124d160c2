//! How items are stored.
//!
//! Of a table without a sort key: as the answer's own JSON, which a get sends as it is; no store could be cheaper. Items
//! that queries read are stored compactly, not as JSON, as any real store has them, and become JSON in the answer: for
//! each attribute the length of its name (2 bytes), its name, its kind (1), the length of its value (4), its value.

use crate::request::{Attribute, Item};

/// Appends an item's compact form. The bench's items have only kinds that are one text each.
pub(crate) fn encode(item: &Item<'_>) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(512);
    for (name, value) in item {
        let (kind, text) = match value {
            Attribute::S(text) => (b'S', text),
            Attribute::N(text) => (b'N', text),
            Attribute::B(text) => (b'B', text),
            _ => return Err("the bench's items hold strings, numbers and binary values"),
        };
        let name_bytes = u16::try_from(name.len()).map_err(|_| "a name too long")?;
        let text_bytes = u32::try_from(text.len()).map_err(|_| "a value too long")?;
        out.extend_from_slice(&name_bytes.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(kind);
        out.extend_from_slice(&text_bytes.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Ok(out)
}

/// Appends the JSON of an item in its compact form.
pub(crate) fn write_json(mut stored: &[u8], out: &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    out.push(b'{');
    let mut first = true;
    while !stored.is_empty() {
        let name_bytes = u16::from_le_bytes(take(&mut stored)?).into();
        let name = text(&mut stored, name_bytes)?;
        let [kind] = take(&mut stored)?;
        let text_bytes = u32::from_le_bytes(take(&mut stored)?) as usize;
        let value = text(&mut stored, text_bytes)?;
        if !first {
            out.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut *out, name)?;
        out.extend_from_slice(&[b':', b'{', b'"', kind, b'"', b':']);
        serde_json::to_writer(&mut *out, value)?;
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

fn take<const N: usize>(stored: &mut &[u8]) -> Result<[u8; N], &'static str> {
    let (taken, rest) = stored.split_first_chunk().ok_or("a stored item is cut off")?;
    *stored = rest;
    Ok(*taken)
}

fn text<'a>(stored: &mut &'a [u8], bytes: usize) -> Result<&'a str, Box<dyn std::error::Error + Send + Sync>> {
    let (taken, rest) = stored.split_at_checked(bytes).ok_or("a stored item is cut off")?;
    *stored = rest;
    Ok(std::str::from_utf8(taken)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back() {
        let json = r#"{"a \" b":{"N":"1"},"payload":{"S":"ü\n"},"pk":{"B":"AA=="}}"#;
        let item: Item<'_> = serde_json::from_str(r#"{"payload":{"S":"ü\n"},"pk":{"B":"AA=="}}"#).unwrap();
        let mut item = item;
        item.insert("a \" b", Attribute::N("1".into()));
        let stored = encode(&item).unwrap();
        let mut out = Vec::new();
        write_json(&stored, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), json);
        assert!(write_json(&stored[..stored.len() - 1], &mut Vec::new()).is_err());
    }
}

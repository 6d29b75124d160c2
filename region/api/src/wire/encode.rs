//! Encoding.

use geodynamo_json::Writer;

use super::{Structure, Value};

/// Bytes to start a reply with; most replies are shorter.
const REPLY_BYTES: usize = 256;

/// Encodes a whole structure.
pub(crate) fn encode<T: Structure>(value: &T) -> Vec<u8> {
    let mut writer = Writer::with_capacity(REPLY_BYTES);
    value.encode(&mut writer);
    writer.into_bytes()
}

/// Writes a member if it is there. The name needs no escapes: the generator takes it from the model.
pub(crate) fn write_member<T: Value>(name: &'static str, member: &Option<T>, writer: &mut Writer) {
    if let Some(value) = member {
        writer.plain_key(name);
        value.encode(writer);
    }
}

//! Items: their JSON, their stored form, the bytes of keys.

use geodynamo_item::{AttributeType, Item, codec, key, size, wire};
use geodynamo_json::{Reader, Writer};

use crate::bytes_to::byte;

/// DynamoDB JSON of an item. What can be read is written and read again the same, in both forms.
pub(crate) fn values(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let Ok(Ok(item)) = wire::read_item(&mut reader) else {
        return;
    };
    let mut writer = Writer::with_capacity(bytes.len());
    wire::write_item(&item, &mut writer);
    let json = writer.into_bytes();
    assert_eq!(read_json(&json), item);
    let mut stored = Vec::new();
    codec::encode(&item, &mut stored);
    assert_eq!(codec::decode(&stored).as_ref(), Ok(&item));
    assert_eq!(codec::size(&stored), Ok(size::item(&item)));
    let mut transcoded = Writer::with_capacity(bytes.len());
    codec::write_json(&stored, &mut transcoded).expect("what was stored can be written");
    assert_eq!(read_json(&transcoded.into_bytes()), item);
}

/// An item's stored form. One item has one form, so what can be read is written back to the byte.
pub(crate) fn stored(bytes: &[u8]) {
    let sized = codec::size(bytes);
    let mut writer = Writer::with_capacity(bytes.len());
    let written = codec::write_json(bytes, &mut writer);
    drop(codec::decode_attributes(bytes, &["a", "pk"]));
    if let Ok(item) = codec::decode(bytes) {
        let mut again = Vec::new();
        codec::encode(&item, &mut again);
        assert_eq!(again, bytes);
        assert_eq!(sized, Ok(size::item(&item)));
        assert!(written.is_ok());
    }
}

/// The order-preserving bytes of keys, terminated and final.
pub(crate) fn keys(mut bytes: &[u8]) {
    let kind = [AttributeType::S, AttributeType::N, AttributeType::B][usize::from(byte(&mut bytes) % 3)];
    if let Ok(value) = key::read_final(bytes, kind) {
        let mut again = Vec::new();
        key::write_final(&mut again, &value);
        assert_eq!(again, bytes);
    }
    if let Ok((value, rest)) = key::read_terminated(bytes, kind) {
        let mut again = Vec::new();
        key::write_terminated(&mut again, &value);
        again.extend_from_slice(rest);
        assert_eq!(again, bytes);
    }
}

fn read_json(json: &[u8]) -> Item {
    let mut reader = Reader::new(json).expect("what was written is UTF-8");
    let item = wire::read_item(&mut reader).expect("what was written is an item");
    item.expect("what was written makes sense")
}

//! The stored form: held still by golden files, equal to the item in every way it is read, safe on any bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

use geodynamo_item::codec::{self, CodecError, MAX_STORED_NESTING, decode, decode_attributes, encode, write_json};
use geodynamo_item::testing::arb_item;
use geodynamo_item::{AttributeValue, Item, size, wire};
use geodynamo_json::{Reader, Writer};
use proptest::prelude::*;

fn stored(item: &Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(item, &mut bytes);
    bytes
}

fn json(write: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new();
    write(&mut writer);
    String::from_utf8(writer.into_bytes()).unwrap()
}

/// What every reader makes of the bytes, which must agree on whether they are an item.
fn read_all_ways(bytes: &[u8]) -> Result<Item, CodecError> {
    let mut writer = Writer::new();
    let item = decode(bytes);
    let sized = codec::size(bytes);
    let written = write_json(bytes, &mut writer);
    let none = decode_attributes::<&str>(bytes, &[]);
    if item.is_ok() {
        assert_eq!(sized.map(drop), Ok(()));
        assert_eq!(written, Ok(()));
        assert_eq!(none, Ok(Item::new()));
    }
    item
}

#[test]
fn version_1_is_as_ever() {
    let text = include_str!("golden/item-1.json").trim_end();
    let golden = include_str!("golden/item-1.hex");
    let digits: Vec<u8> = golden.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    // A stored attribute may have an empty name, which requests can no longer have.
    let item = decode(&bytes).unwrap();
    let mut hex = String::new();
    for line in stored(&item).chunks(32) {
        hex.extend(line.iter().map(|byte| format!("{byte:02x}")));
        hex.push('\n');
    }
    assert_eq!(hex, golden);
    assert_eq!(json(|writer| write_json(&bytes, writer).unwrap()), text);
}

#[test]
fn malformed_bytes_are_refused() {
    use CodecError::{Length, Tag, Value, Version};
    for (bytes, error) in [
        (&b""[..], Length),
        (b"\x00\x00", Version),
        (b"\x02\x00", Version),
        (b"\x01", Length),
        (b"\x01\x01", Length),
        (b"\x01\x00\x00", Length),                 // more behind it
        (b"\x01\x80\x00", Length),                 // a longer varint than need be
        (b"\x01\xFF\xFF\xFF\xFF\xFF\x01", Length), // a varint too long
        (b"\x01\xFF\xFF\xFF\xFF\x0F", Length),     // 4 G attributes
        (b"\x01\x01\x01a", Length),
        (b"\x01\x01\x01a\x00", Tag),
        (b"\x01\x01\x01a\x0C", Tag),
        (b"\x01\x01\x05a\x06", Length),
        (b"\x01\x01\x01\xFF\x06", Value),          // a name not UTF-8
        (b"\x01\x01\x01a\x01\x02\xC3\x28", Value), // a string not UTF-8
        (b"\x01\x01\x01a\x01\xFF\xFF\xFF\xFF\x0F", Length),
        (b"\x01\x01\x01a\x02\x01\x00", Value), // not a number
        (b"\x01\x01\x01a\x02\x00", Value),
        (b"\x01\x01\x01a\x08\x05\x00\x00\x00\x06", Length), // a list longer than the bytes
        (b"\x01\x01\x01a\x08\x02\x00\x00\x00\x01\x05", Length), // a string longer than its list
        (b"\x01\x01\x01a\x08\x01\x00\x00", Length),
        (b"\x01\x02\x01b\x06\x01a\x06", Value), // names out of order
        (b"\x01\x02\x01a\x06\x01a\x06", Value), // a name twice
        (b"\x01\x01\x01a\x07\x06\x00\x00\x00\x01b\x06\x01a\x06", Value),
        (b"\x01\x01\x01a\x09\x00\x00\x00\x00", Value), // an empty set
        (b"\x01\x01\x01a\x09\x04\x00\x00\x00\x01b\x01a", Value), // a set out of order
        (b"\x01\x01\x01a\x0A\x04\x00\x00\x00\x01\x80\x01\x80", Value), // a member twice
        (b"\x01\x01\x01a\x0B\x01\x00\x00\x00\x07", Length),
    ] {
        assert_eq!(read_all_ways(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |levels: usize| {
        let mut value = AttributeValue::L(vec![]);
        for level in 1..levels {
            value = if level % 2 == 0 {
                AttributeValue::L(vec![value])
            } else {
                AttributeValue::M([("a".into(), value)].into_iter().collect())
            };
        }
        [("a".into(), value)].into_iter().collect::<Item>()
    };
    let most = nested(MAX_STORED_NESTING);
    assert_eq!(read_all_ways(&stored(&most)).unwrap(), most);
    for levels in [MAX_STORED_NESTING + 1, 2000] {
        let bytes = stored(&nested(levels));
        assert_eq!(decode(&bytes), Err(CodecError::Depth));
        assert_eq!(codec::size(&bytes), Err(CodecError::Depth));
        assert_eq!(write_json(&bytes, &mut Writer::new()), Err(CodecError::Depth));
        assert_eq!(decode_attributes(&bytes, &["a"]), Err(CodecError::Depth));
    }
}

/// DynamoDB's guide, "DynamoDB item sizes and formats".
#[test]
fn sizes_are_as_in_the_guide() {
    for (text, expect) in [
        (r#"{}"#, 0),
        (r#"{"name":{"S":"value"}}"#, 4 + 5),
        (r#"{"é":{"S":"😀"}}"#, 2 + 4),
        (r#"{"n":{"N":"0"}}"#, 1 + 1),
        (r#"{"n":{"N":"7"}}"#, 1 + 2),
        (r#"{"n":{"N":"27"}}"#, 1 + 2),
        (r#"{"n":{"N":"-27"}}"#, 1 + 3),
        (r#"{"n":{"N":"461"}}"#, 1 + 3),
        (r#"{"n":{"N":"1234"}}"#, 1 + 3),
        (r#"{"n":{"N":"00012340000"}}"#, 1 + 3),
        (r#"{"n":{"N":"100000000"}}"#, 1 + 2),
        (r#"{"n":{"N":"0.0000000025"}}"#, 1 + 2),
        (r#"{"n":{"N":"99999999999999999999999999999999999999"}}"#, 1 + 20),
        (r#"{"n":{"N":"-9.9999999999999999999999999999999999999"}}"#, 1 + 21),
        (r#"{"b":{"B":"Zm9v"}}"#, 1 + 3),
        (r#"{"t":{"BOOL":true},"f":{"BOOL":false},"n":{"NULL":true}}"#, 3 * 2),
        (r#"{"l":{"L":[]}}"#, 1 + 3),
        (r#"{"m":{"M":{}}}"#, 1 + 3),
        (r#"{"l":{"L":[{"S":"ab"},{"NULL":true}]}}"#, 1 + 3 + (1 + 2) + (1 + 1)),
        (
            r#"{"m":{"M":{"ab":{"S":"c"},"d":{"L":[]}}}}"#,
            1 + 3 + (1 + 2 + 1) + (1 + 1 + 3),
        ),
        (r#"{"s":{"SS":["a","bc"]}}"#, 1 + 3),
        (r#"{"s":{"NS":["1","-1"]}}"#, 1 + 2 + 3),
        (r#"{"s":{"BS":["AA==","Zm9v"]}}"#, 1 + 4),
    ] {
        let item = wire::read_item(&mut Reader::new(text.as_bytes()).unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(size::item(&item), expect, "{text}");
        assert_eq!(codec::size(&stored(&item)), Ok(expect), "{text}");
    }
}

proptest! {
    #[test]
    fn items_come_back(item in arb_item()) {
        prop_assert_eq!(decode(&stored(&item)), Ok(item));
    }

    #[test]
    fn sizes_are_equal(item in arb_item()) {
        prop_assert_eq!(codec::size(&stored(&item)), Ok(size::item(&item)));
    }

    #[test]
    fn json_is_equal(item in arb_item()) {
        let from_item = json(|writer| wire::write_item(&item, writer));
        prop_assert_eq!(&json(|writer| write_json(&stored(&item), writer).unwrap()), &from_item);
        let mut reader = Reader::new(from_item.as_bytes()).unwrap();
        let read = wire::read_item(&mut reader);
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert_eq!(read, Ok(Ok(item)));
    }

    #[test]
    fn picked_attributes_are_the_items(item in arb_item(), wanted in prop::collection::vec("[a-d]{1,2}", 0..4)) {
        let mut expect = item.clone();
        expect.retain(|name, _| wanted.iter().any(|wanted| wanted == name.as_str()));
        prop_assert_eq!(decode_attributes(&stored(&item), &wanted), Ok(expect));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![3 => 0u8..14, 1 => any::<u8>()], 0..64)) {
        let mut bytes = bytes;
        let _ = read_all_ways(&bytes);
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        // What is accepted has no second form.
        if let Ok(item) = read_all_ways(&bytes) {
            prop_assert_eq!(stored(&item), bytes);
        }
    }

    #[test]
    fn damaged_items_never_panic(item in arb_item(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let whole = stored(&item);
        let mut bytes = whole.clone();
        bytes[at.index(whole.len())] = byte;
        if let Ok(item) = read_all_ways(&bytes) {
            prop_assert_eq!(stored(&item), bytes);
        }
        prop_assert!(read_all_ways(&whole[..cut.index(whole.len())]).is_err());
    }
}

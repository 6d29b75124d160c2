//! What is written is read again, what others write is read, and what is none is refused.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Write as _;

use geodynamo_exchange::{
    Change, Compression, CsvOptions, ExportFormat, Format, ItemReader, KeyTypes, LINE_BYTES_MAX, layout, manifest,
    write_change, write_item,
};
use geodynamo_item::{AttributeType, AttributeValue, Item, Number, testing};
use proptest::prelude::*;

fn read(object: &[u8], format: &Format, compression: Compression, keys: &KeyTypes) -> Vec<Result<Item, String>> {
    ItemReader::new(object, format, compression, keys)
        .unwrap()
        .map(|item| item.unwrap().map_err(|error| error.0))
        .collect()
}

fn plain(object: &str, format: &Format) -> Vec<Result<Item, String>> {
    read(object.as_bytes(), format, Compression::None, &KeyTypes::new())
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    attributes
        .iter()
        .map(|(name, value)| ((*name).into(), value.clone()))
        .collect()
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(text).unwrap())
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in prop::collection::vec(testing::arb_item(), 0..5)) {
        for (write, format) in [(ExportFormat::DynamoDbJson, Format::DynamoDbJson), (ExportFormat::Ion, Format::Ion)] {
            let mut object = Vec::new();
            for item in &items {
                write_item(write, item, &mut object);
            }
            let found = read(&object, &format, Compression::None, &KeyTypes::new());
            prop_assert_eq!(found, items.iter().cloned().map(Ok).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_line_panics(line in "[\\[{(\"':,}\\])a-z0-9 .$\\\\]{0,200}") {
        for format in [Format::DynamoDbJson, Format::Ion, Format::Csv(CsvOptions::default())] {
            if let Ok(reader) = ItemReader::new(line.as_bytes(), &format, Compression::None, &KeyTypes::new()) {
                reader.for_each(drop);
            }
        }
    }
}

#[test]
fn amazons_own_examples() {
    // Developer guide, "DynamoDB export output format".
    let json = r#"{"Item":{"Authors":{"SS":["Author1","Author2"]},"Dimensions":{"S":"8.5 x 11.0 x 1.5"},"ISBN":{"S":"333-3333333333"},"Id":{"N":"103"},"InPublication":{"BOOL":false},"PageCount":{"N":"600"},"Price":{"N":"2000"},"ProductCategory":{"S":"Book"},"Title":{"S":"Book 103 Title"}}}"#;
    let ion = r#"$ion_1_0 {Item:{Authors:$dynamodb_SS::["Author1","Author2"],Dimensions:"8.5 x 11.0 x 1.5",ISBN:"333-3333333333",Id:103.,InPublication:false,PageCount:6d2,Price:2d3,ProductCategory:"Book",Title:"Book 103 Title"}}"#;
    let from_json = plain(json, &Format::DynamoDbJson);
    assert_eq!(from_json, plain(ion, &Format::Ion));
    assert_eq!(from_json[0].as_ref().unwrap().get("Price"), Some(&n("2000")));
}

#[test]
fn numbers_of_ion() {
    let check = |ion: &str, number: &str| {
        let found = plain(&format!("{{Item:{{n:{ion}}}}}"), &Format::Ion);
        assert_eq!(found, [Ok(item(&[("n", n(number))]))], "{ion}");
    };
    check("1", "1");
    check("-17", "-17");
    check("0.", "0");
    check("1.5", "1.5");
    check("-0.00000000001", "-0.00000000001");
    check("1.5d10", "15000000000");
    check(
        "12345678901234567890123456789012345678.",
        "12345678901234567890123456789012345678",
    );
    check(
        "9.9999999999999999999999999999999999999d125",
        "9.9999999999999999999999999999999999999E125",
    );
    check("1d-130", "1E-130");
}

#[test]
fn what_is_no_item_is_told_and_the_rest_is_read() {
    let check = |format: &Format, bad: &str, good: &str, reason: &str| {
        let found = plain(&format!("{bad}\n\n{good}\n"), format);
        assert_eq!(found.len(), 2, "{bad}: {found:?}");
        let error = found[0].as_ref().unwrap_err();
        assert!(error.contains(reason), "{bad}: {error}");
        assert!(found[1].is_ok(), "{found:?}");
    };
    let (json, ion) = (r#"{"Item":{"a":{"S":"x"}}}"#, r#"{Item:{a:"x"}}"#);
    check(&Format::DynamoDbJson, "{", json, "");
    check(&Format::DynamoDbJson, "{}", json, "no member");
    check(
        &Format::DynamoDbJson,
        r#"{"Item":{"a":{"S":"x","N":"1"}}}"#,
        json,
        "more than one datatypes",
    );
    check(
        &Format::DynamoDbJson,
        r#"{"Item":{"a":{"N":"x"}}}"#,
        json,
        "numeric value",
    );
    check(&Format::Ion, "{Item:", ion, "not Ion");
    check(&Format::Ion, "[1]", ion, "not an Ion struct");
    check(&Format::Ion, "{Item:{a:1e0}}", ion, "float");
    check(&Format::Ion, "{Item:{a:$dynamodb_SS::[]}}", ion, "empty");
    check(&Format::Ion, "{Item:{a:$dynamodb_SS::[1]}}", ion, "type N");
    check(
        &Format::Ion,
        &format!("{{Item:{{a:{}1{}}}}}", "[".repeat(100_000), "]".repeat(100_000)),
        ion,
        "nest",
    );
    let long = format!("{{\"Item\":{{\"a\":{{\"S\":\"{}\"}}}}}}", "x".repeat(LINE_BYTES_MAX));
    check(&Format::DynamoDbJson, &long, json, "longer than");
}

#[test]
fn csv() {
    let keys = KeyTypes::from([("id".into(), AttributeType::N), ("bin".into(), AttributeType::B)]);
    let read =
        |object: &str, options: CsvOptions| read(object.as_bytes(), &Format::Csv(options), Compression::None, &keys);
    let header = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(
        read("id,name,empty\n1,\"a, \"\"b\"\"\nc\",\n2,é,x\n", CsvOptions::default()),
        [
            Ok(item(&[("id", n("1")), ("name", s("a, \"b\"\nc"))])),
            Ok(item(&[("id", n("2")), ("name", s("é")), ("empty", s("x"))])),
        ]
    );
    let given = CsvOptions {
        delimiter: b';',
        header: header(&["id", "bin"]),
    };
    assert_eq!(
        read("1;aGk=\nx;\n3;!\n4\n5;aGk=;more\n", given),
        [
            Ok(item(&[("id", n("1")), ("bin", AttributeValue::B("hi".into()))])),
            Err("The parameter cannot be converted to a numeric value".into()),
            Err("A binary key is not Base64".into()),
            Ok(item(&[("id", n("4"))])),
            Err("The record has 3 values and the header 2".into()),
        ]
    );
    let twice = ItemReader::new(
        "a,a\n".as_bytes(),
        &Format::Csv(CsvOptions::default()),
        Compression::None,
        &keys,
    );
    assert!(twice.is_err());
}

#[test]
fn compressed_objects_and_broken_ones() {
    let line = b"{\"Item\":{\"a\":{\"S\":\"x\"}}}\n";
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Two members, as tools that append leave them.
    let two = [gzip(line), gzip(line)].concat();
    let none = KeyTypes::new();
    assert_eq!(read(&two, &Format::DynamoDbJson, Compression::Gzip, &none).len(), 2);
    let zstd = zstd::encode_all(&line[..], 3).unwrap();
    assert_eq!(read(&zstd, &Format::DynamoDbJson, Compression::Zstd, &none).len(), 1);
    for (object, compression) in [
        (&two[..two.len() - 9], Compression::Gzip),
        (&line[..], Compression::Gzip),
        (&line[..], Compression::Zstd),
    ] {
        let reader = ItemReader::new(object, &Format::DynamoDbJson, compression, &none);
        let failed = reader.map_or(true, |mut items| items.any(|item| item.is_err()));
        assert!(failed, "{compression:?}");
    }
}

#[test]
fn changes() {
    let change = Change {
        written_us: 1_680_109_764_000_000,
        keys: item(&[("PK", s("CUST#100"))]),
        new: Some(item(&[("PK", s("CUST#100")), ("a", n("1"))])),
        old: None,
    };
    let line = |format| {
        let mut out = Vec::new();
        write_change(format, &change, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        line(ExportFormat::DynamoDbJson),
        "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1680109764000000\"}},\"Keys\":{\"PK\":{\"S\":\"CUST#100\"}},\
         \"NewImage\":{\"PK\":{\"S\":\"CUST#100\"},\"a\":{\"N\":\"1\"}}}\n"
    );
    assert_eq!(
        line(ExportFormat::Ion),
        "$ion_1_0 {Record:{Metadata:{WriteTimestampMicros:1680109764000000.},Keys:{\"PK\":\"CUST#100\"},\
         NewImage:{\"PK\":\"CUST#100\",\"a\":1.}}}\n"
    );
}

#[test]
fn names_and_manifests() {
    let id = layout::export_id(1_693_685_827_463, 0x2d8752fd);
    assert_eq!(id, "01693685827463-2d8752fd");
    let folder = layout::folder(Some("exports/"), &id);
    assert_eq!(folder, "exports/AWSDynamoDB/01693685827463-2d8752fd");
    assert_eq!(layout::folder(None, &id), "AWSDynamoDB/01693685827463-2d8752fd");
    assert_eq!(
        layout::Files::of(&folder).summary,
        format!("{folder}/manifest-summary.json")
    );
    let file = manifest::DataFile::of("k".into(), b"hello", 1);
    assert_eq!(file.md5_checksum, "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(
        manifest::files(&[file]),
        "{\"itemCount\":1,\"md5Checksum\":\"XUFAKrxLKna5cZ2REBfFkg==\",\"etag\":\"62109206880d38a4010a98e11243924a-1\",\
         \"dataFileS3Key\":\"k\"}\n"
    );
}

#[test]
fn lines_of_items() {
    let lines = |text: &str, format: &Format| -> Vec<u64> {
        let mut reader = ItemReader::new(text.as_bytes(), format, Compression::None, &KeyTypes::new()).unwrap();
        std::iter::from_fn(|| reader.next().map(|_| reader.line())).collect()
    };
    let json = "{\"Item\":{\"a\":{\"S\":\"b\"}}}\n\n{\n{\"Item\":{}}";
    assert_eq!(lines(json, &Format::DynamoDbJson), [1, 3, 4]);
    let csv = "a,b\n1,\"two\nlines\"\n3,4\n";
    assert_eq!(lines(csv, &Format::Csv(CsvOptions::default())), [2, 4]);
}

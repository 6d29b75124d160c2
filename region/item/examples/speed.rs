//! What reading, storing and answering an item costs: nanoseconds a call, on one thread, for an item of about 300 bytes
//! and six attributes. Run with `cargo run --release -p geodynamo-item --example speed`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "an example measures time and stops at errors"
)]

use std::hint::black_box;
use std::time::Instant;

use geodynamo_item::{Item, Number, codec, size, wire};
use geodynamo_json::{Reader, Writer};

/// Calls in one measurement.
const CALLS: u32 = 200_000;
/// Measurements, of which the fastest is shown: the others were disturbed.
const ROUNDS: u32 = 7;

fn main() {
    let text = format!(
        concat!(
            r#"{{"pk":{{"S":"customer#0001234567"}},"sk":{{"S":"order#2026-11-23T09:24:30Z"}},"total":{{"N":"1234.56"}},"#,
            r#""count":{{"N":"42"}},"paid":{{"BOOL":true}},"note":{{"S":"{}"}}}}"#
        ),
        "x".repeat(195)
    );
    let item = read(&text);
    let mut stored = Vec::new();
    codec::encode(&item, &mut stored);
    println!(
        "{} attributes, {} bytes by DynamoDB's count, {} stored, {} JSON",
        item.len(),
        size::item(&item),
        stored.len(),
        text.len()
    );

    measure("wire::read_item", || read(&text).len());
    measure("json skip_value", || {
        Reader::new(text.as_bytes()).unwrap().skip_value().unwrap().len()
    });
    measure("codec::encode", || {
        let mut out = Vec::with_capacity(512);
        codec::encode(&item, &mut out);
        out.len()
    });
    measure("codec::decode", || codec::decode(&stored).unwrap().len());
    measure("codec::decode_attributes, two", || {
        codec::decode_attributes(&stored, &["pk", "sk"]).unwrap().len()
    });
    measure("codec::size", || codec::size(&stored).unwrap());
    measure("size::item", || size::item(&item));
    measure("codec::write_json", || {
        let mut writer = Writer::with_capacity(512);
        codec::write_json(&stored, &mut writer).unwrap();
        writer.len()
    });
    measure("wire::write_item", || {
        let mut writer = Writer::with_capacity(512);
        wire::write_item(&item, &mut writer);
        writer.len()
    });
    measure("Number::parse 1234.56", || {
        usize::from(Number::parse(black_box("1234.56")).unwrap().is_negative())
    });
    let longest = "9".repeat(38);
    measure("Number::parse 38 digits", || {
        usize::from(Number::parse(black_box(&longest)).unwrap().is_negative())
    });
    let (short, long) = (Number::parse("1234.56").unwrap(), Number::parse(&longest).unwrap());
    measure("order_bytes 1234.56", || black_box(short).order_bytes().len());
    measure("order_bytes 38 digits", || black_box(long).order_bytes().len());
}

fn read(text: &str) -> Item {
    wire::read_item(&mut Reader::new(text.as_bytes()).unwrap())
        .unwrap()
        .unwrap()
}

fn measure(name: &str, mut call: impl FnMut() -> usize) {
    let fastest = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            start.elapsed() / CALLS
        })
        .min()
        .unwrap();
    println!("{name:32} {:6} ns", fastest.as_nanos());
}

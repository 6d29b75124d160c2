//! Avro's container files, as far as manifests need them: one block, not compressed.
//!
//! Source: "Apache Avro Specification", binary encoding and object container files.

use serde_json::Value;

/// What a container file begins with.
const MAGIC: &[u8] = b"Obj\x01";
/// What ends each block; the file's own, and of no meaning.
const MARKER_BYTES: usize = 16;

/// A datum being written: fields one after the other, in the schema's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Datum(Vec<u8>);

impl Datum {
    /// An `int` or a `long`: zigzag, seven bits a byte.
    pub(super) fn long(&mut self, number: i64) -> &mut Self {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    /// `bytes`.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.long(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// A `string`.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Which branch of a union follows: of `["null", …]`, 0 is null.
    pub(super) fn branch(&mut self, branch: i64) -> &mut Self {
        self.long(branch)
    }
}

/// A file with these data.
pub(super) fn file(schema: &Value, metadata: &[(&str, String)], marker: [u8; MARKER_BYTES], data: &[Datum]) -> Vec<u8> {
    let mut out = Datum(MAGIC.to_vec());
    let schema = schema.to_string();
    out.long(i64::try_from(metadata.len() + 2).unwrap_or(i64::MAX));
    out.string("avro.schema").string(&schema);
    out.string("avro.codec").string("null");
    for (name, value) in metadata {
        out.string(name).string(value);
    }
    out.long(0);
    out.0.extend_from_slice(&marker);
    if !data.is_empty() {
        let bytes: usize = data.iter().map(|datum| datum.0.len()).sum();
        out.long(i64::try_from(data.len()).unwrap_or(i64::MAX));
        out.long(i64::try_from(bytes).unwrap_or(i64::MAX));
        for datum in data {
            out.0.extend_from_slice(&datum.0);
        }
        out.0.extend_from_slice(&marker);
    }
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        for (number, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut datum = Datum::default();
            datum.long(number);
            assert_eq!(datum.0, expected, "{number}");
        }
    }
}

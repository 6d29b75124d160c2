//! Which trace a version belongs to: what distributed tracing carries from the region that wrote it to those that apply it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// The most traced versions that one [`Frame::Deltas`](crate::Frame::Deltas) tells of; the traces of others end where they
/// were written.
pub const TRACES_PER_FRAME_MAX: usize = 64;

/// A trace, and the span of it that caused something: W3C's trace context, of sampled traces only. Its text is the header
/// `traceparent`. Source: <https://www.w3.org/TR/trace-context/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace.
    #[serde(rename = "t", with = "sixteen")]
    pub trace_id: u128,
    /// The span.
    #[serde(rename = "s")]
    pub span_id: u64,
}

/// A version that is on its way, and its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// The version's stamp.
    #[serde(rename = "s")]
    pub stamp: Stamp,
    /// Its trace.
    #[serde(rename = "c")]
    pub context: TraceContext,
}

/// A text that is no trace context, or one of a trace that is not sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the traceparent of a sampled trace")]
pub struct NotTraced;

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

impl FromStr for TraceContext {
    type Err = NotTraced;

    /// Reads a `traceparent`. What a later version of it has behind the flags is passed over.
    fn from_str(text: &str) -> Result<Self, NotTraced> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits);
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.filter(|part| part.bytes().all(is_hex)).ok_or(NotTraced)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_last = parts.next().is_none();
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotTraced)?;
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| NotTraced)?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| NotTraced)?;
        let is_valid = version != "ff" && (is_last || version != "00") && trace_id != 0 && span_id != 0;
        if is_valid && flags & 1 == 1 {
            Ok(Self { trace_id, span_id })
        } else {
            Err(NotTraced)
        }
    }
}

/// MessagePack has no whole numbers of 16 bytes: they are binary, big-endian.
mod sixteen {
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&value.to_be_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        let bytes = bytes
            .try_into()
            .map_err(|_| D::Error::custom("a trace's id has 16 bytes"))?;
        Ok(u128::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: TraceContext = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what";
        assert_eq!(later.parse(), Ok(context));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NotTraced), "{bad}");
        }
    }
}

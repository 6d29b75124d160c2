//! How bytes go into MessagePack: always as binary, never as arrays of numbers.

/// [`bytes::Bytes`] as MessagePack binary.
pub(crate) mod bytes_field {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Bytes::from(bytes))
    }
}

/// `Option<Bytes>` as MessagePack binary or nil.
pub(crate) mod optional_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => serializer.serialize_some(serde_bytes::Bytes::new(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let bytes: Option<serde_bytes::ByteBuf> = Option::deserialize(deserializer)?;
        Ok(bytes.map(|bytes| Bytes::from(bytes.into_vec())))
    }
}

//! Session tokens: temporary credentials that no region has to look up.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::seal::{SealError, Seals, Use};

/// What every token begins with, as AWS's do.
const PREFIX: &str = "IQoJ";

/// The longest token that is looked into, in bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Temporary credentials, as their token holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The access key's id, `ASIA…`.
    #[serde(rename = "k")]
    pub(crate) access_key_id: String,
    #[serde(rename = "x")]
    pub(crate) secret: String,
    /// In seconds since 1970.
    #[serde(rename = "i")]
    pub(crate) issued: i64,
    #[serde(rename = "e")]
    pub(crate) expires: i64,
    /// Its account, of others than the cluster's own.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// Of the root user of another account than the cluster's own: the account's generation.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<String>,
    /// The unique id of the role or the user; the account's number of its root user.
    #[serde(rename = "p")]
    pub(crate) principal: String,
    /// Of a role's session: its name.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Session policies: documents.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) documents: Vec<String>,
    /// Session policies: ARNs.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) managed: Vec<String>,
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// Tags that go on to sessions that this one begins.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) transitive: Vec<String>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_identity: Option<String>,
    /// Who vouches for a web identity.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// Condition keys that it brings along.
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

impl Session {
    /// The token, sealed.
    pub(crate) fn token(&self, seals: &Seals) -> Result<String, SealError> {
        let plain = rmp_serde::to_vec_named(self).map_err(|_| SealError)?;
        let sealed = seals.seal(Use::Token, self.access_key_id.as_bytes(), &plain)?;
        let mut token = PREFIX.to_owned();
        STANDARD.encode_string(sealed, &mut token);
        Ok(token)
    }

    /// Opens a token that came with an access key.
    pub(crate) fn open(seals: &Seals, access_key_id: &str, token: &[u8]) -> Result<Self, SealError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SealError);
        }
        let text = token.strip_prefix(PREFIX.as_bytes()).ok_or(SealError)?;
        let sealed = STANDARD.decode(text).map_err(|_| SealError)?;
        let plain = seals.open(Use::Token, access_key_id.as_bytes(), &sealed)?;
        rmp_serde::from_slice(&plain).map_err(|_| SealError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_opened_with_their_access_key_alone() {
        let seals = Seals::new(&[1; 32]).unwrap();
        let session = Session {
            access_key_id: "ASIA".into(),
            secret: "hush".into(),
            issued: 1,
            expires: 2,
            account: None,
            generation: None,
            principal: "AROA".into(),
            name: Some("n".into()),
            documents: vec!["{}".into()],
            managed: vec![],
            tags: BTreeMap::from([("a".into(), "b".into())]),
            transitive: vec![],
            source_identity: None,
            provider: None,
            keys: BTreeMap::new(),
        };
        let token = session.token(&seals).unwrap();
        assert!(!token.contains("hush"));
        assert_eq!(Session::open(&seals, "ASIA", token.as_bytes()), Ok(session));
        assert_eq!(Session::open(&seals, "ASIB", token.as_bytes()), Err(SealError));
        let long = vec![b'A'; TOKEN_BYTES_MAX + 1];
        for wrong in [&b""[..], b"IQoJ", b"IQoJ????", b"x", &long] {
            assert_eq!(Session::open(&seals, "ASIA", wrong), Err(SealError));
        }
    }
}

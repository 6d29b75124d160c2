//! The transit engine of Vault and OpenBao.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use geodynamo_outgoing::{Call, Client, Endpoint, encode_segment};
use geodynamo_seal::Secret;
use http::StatusCode;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{ANSWER_BYTES_MAX, CALL_MAX, Failure, kms::broken};

/// What the names of its keys begin with in a keyring.
const PREFIX: &str = "transit:";

/// A key of a transit engine, of a kind that takes associated data (aes256-gcm96, chacha20-poly1305).
#[derive(Clone, Debug)]
pub struct Transit {
    /// Where the server is.
    pub endpoint: Endpoint,
    /// Where the engine is mounted.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// What the server lets us in by.
    pub token: Token,
    /// The namespace, if there is one.
    pub namespace: Option<String>,
}

/// Where the token is. It is looked up for every call, so whoever renews it need tell nobody.
#[derive(Clone, Debug)]
pub enum Token {
    /// In an environment variable.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

impl Token {
    fn text(&self) -> Result<Zeroizing<String>, Failure> {
        let text = match self {
            Self::Variable(name) => {
                std::env::var(name).map_err(|error| Failure::Final(format!("the variable {name}: {error}")))
            }
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|error| Failure::Passing(format!("{}: {error}", path.display())))
            }
        };
        text.map(|text| Zeroizing::new(text.trim().to_owned()))
    }
}

impl Transit {
    pub(crate) fn source(&self) -> String {
        let Self { mount, key, .. } = self;
        format!(
            "the key {key} of the transit engine {mount} at {}",
            self.endpoint.address()
        )
    }

    pub(crate) fn name(&self) -> String {
        format!("{PREFIX}{}", self.key)
    }

    pub(crate) fn key_of(name: &str) -> Option<&str> {
        name.strip_prefix(PREFIX)
    }

    pub(crate) async fn wrap(&self, client: Client, id: &str, secret: &Secret) -> Result<Vec<u8>, Failure> {
        let plain = Zeroizing::new(STANDARD.encode(secret.reveal()));
        let body = json!({ "plaintext": *plain, "associated_data": STANDARD.encode(id) });
        let answer = self.call(&client, "encrypt", &self.key, &body).await?;
        Ok(text_of(&answer, "ciphertext")?.as_bytes().to_vec())
    }

    pub(crate) async fn unwrap(
        &self,
        client: Client,
        key: &str,
        id: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let wrapped = std::str::from_utf8(wrapped).map_err(|_| Failure::Final("what was wrapped is damaged".into()))?;
        let body = json!({ "ciphertext": wrapped, "associated_data": STANDARD.encode(id) });
        let answer = self.call(&client, "decrypt", key, &body).await?;
        let plain = STANDARD.decode(text_of(&answer, "plaintext")?);
        Ok(Zeroizing::new(
            plain.map_err(|_| Failure::Final("its answer has no plaintext".into()))?,
        ))
    }

    async fn call(&self, client: &Client, operation: &str, key: &str, body: &Value) -> Result<Value, Failure> {
        let token = self.token.text()?;
        let mount: Vec<_> = self.mount.split('/').map(encode_segment).collect();
        let path = format!("/v1/{}/{operation}/{}", mount.join("/"), encode_segment(key));
        let mut headers = vec![("content-type", "application/json"), ("x-vault-token", &**token)];
        headers.extend(
            self.namespace
                .as_deref()
                .map(|namespace| ("x-vault-namespace", namespace)),
        );
        let call = Call {
            method: "POST",
            path: &path,
            query: None,
            headers: &headers,
            body: body.to_string().into(),
            within: CALL_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.endpoint.call(client, &call).await.map_err(broken)?;
        let content: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            return Ok(content);
        }
        let errors = content
            .get("errors")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let errors: Vec<_> = errors.iter().filter_map(Value::as_str).collect();
        let reason = format!("{operation}: {} {}", answer.status, errors.join("; "));
        // 412: a standby has not heard of something yet. A sealed server says 503.
        let passes = answer.status.is_server_error()
            || matches!(
                answer.status,
                StatusCode::PRECONDITION_FAILED | StatusCode::TOO_MANY_REQUESTS
            );
        Err(if passes {
            Failure::Passing(reason)
        } else {
            Failure::Final(reason)
        })
    }
}

fn text_of<'a>(answer: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let text = answer
        .get("data")
        .and_then(|data| data.get(name))
        .and_then(Value::as_str);
    text.ok_or_else(|| Failure::Final(format!("its answer has no {name}")))
}

//! AWS KMS, by its JSON protocol.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use geodynamo_outgoing::{Call, CallError, Client, Endpoint};
use geodynamo_seal::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{ANSWER_BYTES_MAX, CALL_MAX, Failure};

/// What the names of its keys begin with in a keyring.
const PREFIX: &str = "kms:";
/// The encryption context: what was wrapped for one data key is of no use for another one, and the service's own log tells them
/// apart.
const CONTEXT: &str = "geodynamo:data-key";

/// A key of AWS KMS.
#[derive(Clone, Debug)]
pub struct Kms {
    /// Where the service is, and the key to sign with.
    pub endpoint: Endpoint,
    /// The key's id, its ARN, or an alias.
    pub key_id: String,
}

impl Kms {
    pub(crate) fn source(&self) -> String {
        format!("the key {} of the KMS at {}", self.key_id, self.endpoint.address())
    }

    pub(crate) fn name(&self) -> String {
        format!("{PREFIX}{}", self.key_id)
    }

    pub(crate) fn key_of(name: &str) -> Option<&str> {
        name.strip_prefix(PREFIX)
    }

    pub(crate) async fn wrap(&self, client: Client, id: &str, secret: &Secret) -> Result<Vec<u8>, Failure> {
        let plain = Zeroizing::new(STANDARD.encode(secret.reveal()));
        let body = json!({ "KeyId": self.key_id, "Plaintext": *plain, "EncryptionContext": { CONTEXT: id } });
        let answer = self.call(&client, "Encrypt", &body).await?;
        bytes_of(&answer, "CiphertextBlob").map(|bytes| bytes.to_vec())
    }

    pub(crate) async fn unwrap(
        &self,
        client: Client,
        key: &str,
        id: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let body = json!({
            "KeyId": key,
            "CiphertextBlob": STANDARD.encode(wrapped),
            "EncryptionContext": { CONTEXT: id },
        });
        let answer = self.call(&client, "Decrypt", &body).await?;
        bytes_of(&answer, "Plaintext")
    }

    async fn call(&self, client: &Client, operation: &str, body: &Value) -> Result<Value, Failure> {
        let target = format!("TrentService.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &*target),
        ];
        let call = Call {
            method: "POST",
            path: "/",
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
        let text = |name: &str| content.get(name).and_then(Value::as_str);
        // Both spellings of the second are in use.
        let kind = text("__type")
            .unwrap_or_default()
            .rsplit('#')
            .next()
            .unwrap_or_default();
        let message = text("message").or_else(|| text("Message")).unwrap_or_default();
        let reason = format!("{operation}: {} {kind} {message}", answer.status);
        let passes = answer.status.is_server_error()
            || matches!(
                kind,
                "ThrottlingException" | "DependencyTimeoutException" | "KeyUnavailableException"
            );
        Err(if passes {
            Failure::Passing(reason)
        } else {
            Failure::Final(reason)
        })
    }
}

fn bytes_of(answer: &Value, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = answer
        .get(name)
        .and_then(Value::as_str)
        .and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| Failure::Final(format!("its answer has no {name}")))?;
    Ok(Zeroizing::new(bytes))
}

pub(crate) fn broken(error: CallError) -> Failure {
    Failure::Passing(error.to_string())
}

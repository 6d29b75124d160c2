//! What a record tells of a request's document: all but secrets.

use serde_json::Value;

/// In the place of a secret.
const WITHHELD: &str = "withheld";
/// What the names of members that hold secrets have in them, in lower case. A file that holds one may be told.
const SECRET: [&str; 6] = ["secret", "password", "passphrase", "token", "credential", "private"];
const OF_A_FILE: &str = "file";

/// A document without secrets; null if it is none, for what it has then cannot be told apart.
pub(super) fn told(body: &[u8]) -> Value {
    serde_json::from_slice(body).map_or(Value::Null, without)
}

/// It ends where the reader of documents does, which refuses deep ones.
fn without(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let told = members.into_iter().map(|(name, value)| match is_secret(&name) {
                true => (name, WITHHELD.into()),
                false => (name, without(value)),
            });
            Value::Object(told.collect())
        }
        Value::Array(members) => members.into_iter().map(without).collect(),
        Value::String(text) if has_password(&text) => WITHHELD.into(),
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word)) && !name.ends_with(OF_A_FILE)
}

/// Whether a text is an address with a password, which none needs: `postgres://USER:PASSWORD@HOST`, `host=… password=…`.
fn has_password(text: &str) -> bool {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let has_user = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    has_user || is_secret(text) && text.contains('=')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_withheld() {
        let body = json!({
            "name": "shop",
            "deep": [{ "secretAccessKey": "hidden", "password_file": "/run/password" }],
            "sessionToken": { "is": "hidden" },
            "addresses": [
                "postgres://ann@db:5432/shop",
                "postgres://ann:hidden@db:5432/shop",
                "postgres://ann:hid/den@db/shop",
                "host=db user=ann password=hidden",
                "host=db user=ann",
                "the token of the day",
            ],
            "seconds": 60,
        });
        let told = told(body.to_string().as_bytes());
        let expect = json!({
            "name": "shop",
            "deep": [{ "secretAccessKey": "withheld", "password_file": "/run/password" }],
            "sessionToken": "withheld",
            "addresses": [
                "postgres://ann@db:5432/shop",
                "withheld",
                "withheld",
                "withheld",
                "host=db user=ann",
                "the token of the day",
            ],
            "seconds": 60,
        });
        assert_eq!(told, expect);
    }

    #[test]
    fn what_is_no_document_is_not_told() {
        for body in ["", "password=hidden", "{\"secret\": \"hidden\"", &"[".repeat(10_000)] {
            assert_eq!(told(body.as_bytes()), Value::Null, "{body}");
        }
    }
}

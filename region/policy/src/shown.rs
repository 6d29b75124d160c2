//! Policies' documents as they are shown.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

/// A document in which principals under `AWS` are called as `names` has them, by what they are called in the document. The
/// document itself if it names none of them.
pub fn renamed<'t>(document: &'t str, names: &BTreeMap<String, String>) -> Cow<'t, str> {
    if names.is_empty() {
        return Cow::Borrowed(document);
    }
    // It was compiled before it was stored, so it is JSON.
    let Ok(mut parsed) = serde_json::from_str::<Value>(document) else {
        return Cow::Borrowed(document);
    };
    let mut changed = false;
    for statement in several(parsed.get_mut("Statement")) {
        for element in ["Principal", "NotPrincipal"] {
            let principals = statement.get_mut(element).and_then(|element| element.get_mut("AWS"));
            for principal in several(principals) {
                if let Some(now) = principal.as_str().and_then(|principal| names.get(principal)) {
                    *principal = now.as_str().into();
                    changed = true;
                }
            }
        }
    }
    match changed {
        true => Cow::Owned(parsed.to_string()),
        false => Cow::Borrowed(document),
    }
}

/// The members of a list; what is no list is its only member.
fn several(value: Option<&mut Value>) -> &mut [Value] {
    match value {
        Some(Value::Array(members)) => members,
        Some(one) => std::slice::from_mut(one),
        None => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_principals_are_renamed() {
        let names = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (document, expect) in [
            (
                r#"{"Statement":{"Principal":{"AWS":"a"},"Condition":{"x":{"y":"a"}}}}"#,
                r#"{"Statement":{"Condition":{"x":{"y":"a"}},"Principal":{"AWS":"b"}}}"#,
            ),
            (
                r#"{"Statement":[{"NotPrincipal":{"AWS":["c","a"]}}]}"#,
                r#"{"Statement":[{"NotPrincipal":{"AWS":["c","b"]}}]}"#,
            ),
            // As it is, white space and all.
            (
                r#"{"Statement": {"Principal": "*"}}"#,
                r#"{"Statement": {"Principal": "*"}}"#,
            ),
            (r#"{"Statement": "a"}"#, r#"{"Statement": "a"}"#),
            ("a", "a"),
        ] {
            assert_eq!(renamed(document, &names), expect);
        }
        assert!(matches!(renamed("{}", &BTreeMap::new()), Cow::Borrowed("{}")));
    }
}

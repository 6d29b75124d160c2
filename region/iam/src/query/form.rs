//! A call's body: `Action=…&Version=…&Name=value`, form-encoded.

use std::collections::BTreeMap;

use super::error::{IamError, Result};

/// The longest body of a call, in bytes. The largest that IAM's own limits allow is a managed policy, in a form that is
/// encoded three times over.
pub const FORM_BYTES_MAX: usize = 256 * 1024;

/// The most parameters of a call.
pub(crate) const PARAMETERS_MAX: usize = 4096;

/// A call's parameters, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Form {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        if body.len() > FORM_BYTES_MAX {
            return Err(IamError::validation(format!(
                "The request is longer than {FORM_BYTES_MAX} bytes"
            )));
        }
        let mut parameters = BTreeMap::new();
        for (number, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if number >= PARAMETERS_MAX {
                return Err(IamError::validation(format!(
                    "The request has more than {PARAMETERS_MAX} parameters"
                )));
            }
            if parameters
                .insert(name.clone().into_owned(), value.into_owned())
                .is_some()
            {
                return Err(IamError::new(
                    "MalformedQueryString",
                    format!("The parameter {} is given twice", quoted(&name)),
                ));
            }
        }
        Ok(Self { parameters })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// The first value of a parameter in a call's body: what a port needs to know before it knows whose the call is.
pub fn parameter(body: &[u8], name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(body);
    pairs
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.into_owned())
}

/// What a client sent, cut to what an error may show of it.
pub(crate) fn quoted(text: &str) -> String {
    const CHARACTERS_MAX: usize = 128;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

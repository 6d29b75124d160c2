//! The canonical request: the one form of a request that both sides hash.
//!
//! Nearly every request to DynamoDB is `POST /` without a query, so that is the path without an allocation.

use std::borrow::Cow;

use http::{HeaderMap, header};
use smallvec::SmallVec;

use crate::{
    claim::{Claim, Form},
    error::AccessError,
    hash::Hex,
    verify::Request,
};

/// Room for a canonical request on the stack: SDKs make 300 to 700 bytes.
pub(crate) type Buffer = SmallVec<[u8; 1024]>;

/// The canonical request of what `claim` says was signed.
///
/// Refuses signed headers that are absent, unsorted or repeated (so the form is never longer than the request), and
/// requests that leave out what must be signed: the host and every `x-amz-` header.
pub(crate) fn canonical_request(
    request: &Request<'_>,
    claim: &Claim<'_>,
    payload_hash: &Hex,
) -> Result<Buffer, AccessError> {
    let mut out = Buffer::new();
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    write_path(&mut out, request.path);
    out.push(b'\n');
    if let Some(query) = request.query
        && !query.is_empty()
    {
        write_query(&mut out, query, claim.form);
    }
    out.push(b'\n');
    write_headers(&mut out, request, &claim.signed_headers)?;
    out.push(b'\n');
    out.extend_from_slice(claim.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash);
    Ok(out)
}

fn write_headers(out: &mut Buffer, request: &Request<'_>, signed_headers: &str) -> Result<(), AccessError> {
    let mut previous = "";
    let mut host_signed = false;
    let mut amz_signed = 0;
    for name in signed_headers.split(';') {
        if name <= previous {
            return Err(AccessError::WrongSignature);
        }
        previous = name;
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if name == "host" {
            host_signed = true;
            match request.headers.get(header::HOST) {
                Some(value) => write_value(out, value.as_bytes()),
                // HTTP/2 has no Host header.
                None => write_value(out, request.authority.unwrap_or_default().as_bytes()),
            }
        } else {
            let mut values = request.headers.get_all(name).iter();
            match values.next() {
                Some(value) => write_value(out, value.as_bytes()),
                None => return Err(AccessError::WrongSignature),
            }
            for value in values {
                out.push(b',');
                write_value(out, value.as_bytes());
            }
            amz_signed += usize::from(name.starts_with("x-amz-"));
        }
        out.push(b'\n');
    }
    if !host_signed {
        return Err(AccessError::HostNotSigned);
    }
    // Every signed name is there, and there once: so the numbers tell whether one is left out.
    if request
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"))
        .count()
        != amz_signed
    {
        return Err(first_unsigned_amz_header(request.headers, signed_headers));
    }
    Ok(())
}

fn first_unsigned_amz_header(headers: &HeaderMap, signed_headers: &str) -> AccessError {
    headers
        .keys()
        .map(|name| name.as_str())
        .find(|name| name.starts_with("x-amz-") && !signed_headers.split(';').any(|signed| signed == *name))
        .map_or(AccessError::WrongSignature, |name| {
            AccessError::HeaderNotSigned(AccessError::quote(name.as_bytes()))
        })
}

/// A header's value without surrounding blanks, runs of spaces made one.
fn write_value(out: &mut Buffer, value: &[u8]) {
    let value = value.trim_ascii();
    let mut start = 0;
    for place in 1..value.len() {
        if value[place] == b' ' && value[place - 1] == b' ' {
            out.extend_from_slice(&value[start..place]);
            start = place + 1;
        }
    }
    if start < value.len() {
        out.extend_from_slice(&value[start..]);
    }
}

/// The path, normalised as RFC 3986 says, then encoded once more than it came.
pub(crate) fn write_path(out: &mut Buffer, path: &str) {
    if path == "/" || path.is_empty() {
        out.push(b'/');
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        percent_encode(out, segment.as_bytes());
    }
    let ends_in_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if segments.is_empty() || ends_in_folder {
        out.push(b'/');
    }
}

/// The query's parameters, each encoded in the one way AWS has, sorted by name, then value. A presigned request's
/// signature does not sign itself.
fn write_query(out: &mut Buffer, query: &str, form: Form) {
    let mut parameters: Vec<(Buffer, Buffer)> = query_pairs(query)
        .filter(|(name, _)| form == Form::Header || *name != "X-Amz-Signature")
        .map(|(name, value)| (recode(name), recode(value)))
        .collect();
    parameters.sort_unstable();
    for (place, (name, value)) in parameters.iter().enumerate() {
        if place > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// The query of a request that is signed by its header.
pub(crate) fn write_query_of_header(out: &mut Buffer, query: &str) {
    write_query(out, query, Form::Header);
}

/// Names and values of a query, as they came.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn recode(text: &str) -> Buffer {
    let mut out = Buffer::new();
    percent_encode(&mut out, &percent_decode(text));
    out
}

/// `%41` becomes `A`; what is no escape stays.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let digit = |place: usize| bytes.get(place).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        if bytes[place] == b'%'
            && let (Some(high), Some(low)) = (digit(place + 1), digit(place + 2))
        {
            // Two hexadecimal digits are below 256.
            out.push((high * 16 + low) as u8);
            place += 3;
        } else {
            out.push(bytes[place]);
            place += 1;
        }
    }
    Cow::Owned(out)
}

/// Everything but RFC 3986's unreserved characters as `%XX`, upper-case.
fn percent_encode(out: &mut Buffer, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Buffer)) -> String {
        let mut out = Buffer::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn header_values() {
        let check = |value: &str, expect: &str| assert_eq!(text(|out| write_value(out, value.as_bytes())), expect);
        check("", "");
        check("   ", "");
        check("a", "a");
        check(" a  b   c ", "a b c");
        check("a b c", "a b c");
        check("\"a   b\"", "\"a b\"");
    }

    #[test]
    fn paths() {
        let check = |path: &str, expect: &str| assert_eq!(text(|out| write_path(out, path)), expect, "{path}");
        check("", "/");
        check("/", "/");
        check("//", "/");
        check("/.", "/");
        check("/..", "/");
        check("/../../a", "/a");
        check("//a//b/", "/a/b/");
        check("/a/./b/..", "/a/");
        check("/a b", "/a%20b");
        check("/%20", "/%2520");
    }

    #[test]
    fn queries() {
        let check = |query: &str, expect: &str| {
            assert_eq!(
                text(|out| write_query(out, query, Form::Query { validity_s: 0 })),
                expect,
                "{query}"
            );
        };
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1", "a=1&a=2");
        check("a", "a=");
        check("a=b=c", "a=b%3Dc");
        check("a=%7e%2f%zz+", "a=~%2F%25zz%2B");
        check("X-Amz-Signature=1&&a=", "a=");
    }
}

//! Whose a request is that one node passes on to another, in a header of its own: where the client is, and whether it came by TLS.
//!
//! Only requests that came through the door between nodes are believed to say so; whatever a client says in that header is
//! written over on the way. It is not among the headers that a client signs, so its signature stays what it is.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
const FORWARDED: HeaderName = HeaderName::from_static("x-geodynamo-forwarded");
const SECURE: &str = "https";
const PLAIN: &str = "http";

/// Says whose a request is.
pub fn write(headers: &mut HeaderMap, source_ip: Option<IpAddr>, secure_transport: bool) {
    let transport = if secure_transport { SECURE } else { PLAIN };
    let text = match source_ip {
        Some(ip) => format!("{transport} {ip}"),
        None => transport.to_owned(),
    };
    headers.remove(FORWARDED);
    // An address has nothing that a header must not have.
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(FORWARDED, value);
    }
}

/// Whose a request is, as the node says that passes it on: its client's address, if it tells, and whether it came by TLS.
/// Who says nothing is nobody.
pub fn read(headers: &HeaderMap) -> (Option<IpAddr>, bool) {
    let text = headers.get(FORWARDED).and_then(|value| value.to_str().ok());
    let mut words = text.unwrap_or_default().split(' ');
    let secure = words.next() == Some(SECURE);
    (words.next().and_then(|ip| ip.parse().ok()), secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_as_it_is() {
        for (ip, secure, golden) in [
            ("10.1.2.3", true, "https 10.1.2.3"),
            ("2001:db8::7", false, "http 2001:db8::7"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(FORWARDED, HeaderValue::from_static("https 6.6.6.6"));
            headers.append(FORWARDED, HeaderValue::from_static("https 7.7.7.7"));
            write(&mut headers, Some(ip.parse().unwrap()), secure);
            assert_eq!(read(&headers), (Some(ip.parse().unwrap()), secure));
            // Pinned: nodes of two releases may speak to each other.
            assert_eq!(headers.get_all(FORWARDED).iter().collect::<Vec<_>>(), [golden]);
        }
        assert_eq!(read(&HeaderMap::new()), (None, false));
    }
}

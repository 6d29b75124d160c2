//! Addresses that can be dialled and listened on.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The longest host name, in bytes (RFC 1035, section 2.3.4, without the final dot).
pub const HOST_LEN_MAX: usize = 253;

/// A host (an IP address or a DNS name) and a port. Names are resolved by whoever dials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `:port`.
    #[error("'{0}' is not an address: expected host:port")]
    NoPort(String),
    /// The port is not a number from 1 to 65535.
    #[error("'{0}' is not an address: the port must be a number from 1 to 65535")]
    Port(String),
    /// The host is empty, too long, or holds what host names do not have.
    #[error("'{0}' is not an address: the host must be a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host(String),
}

impl Address {
    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, if the host is an IP address; a DNS name has to be resolved.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
        // `u16::from_str` takes a sign, which no port has.
        let port = Some(port)
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|port| port.parse().ok());
        let port = port
            .filter(|port| *port != 0)
            .ok_or_else(|| AddressError::Port(text.to_owned()))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ip) => ip.parse::<Ipv6Addr>().ok().map(|ip| ip.to_string()),
            None => Some(host).filter(|host| is_host(host)).map(str::to_owned),
        };
        Ok(Self {
            host: host.ok_or_else(|| AddressError::Host(text.to_owned()))?,
            port,
        })
    }
}

/// Whether it is an IPv4 address or a DNS name: dot-separated labels of letters, digits, hyphens and underscores.
fn is_host(host: &str) -> bool {
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric {
        return host.parse::<IpAddr>().is_ok();
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= HOST_LEN_MAX && host.split('.').all(is_label)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1:7000",
            "[::1]:7000",
            "node-1.eu.example.com:65535",
            "localhost:1",
            "a_b:2",
        ] {
            assert_eq!(good.parse::<Address>().map(|a| a.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(
            "[::1]:7".parse::<Address>().unwrap().socket_addr(),
            Some("[::1]:7".parse().unwrap())
        );
        assert_eq!("localhost:7".parse::<Address>().unwrap().socket_addr(), None);

        let check = |text: &str, expect: fn(String) -> AddressError| {
            assert_eq!(text.parse::<Address>(), Err(expect(text.to_owned())), "{text}");
        };
        check("", AddressError::NoPort);
        check("localhost", AddressError::NoPort);
        for port in [
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:http",
        ] {
            check(port, AddressError::Port);
        }
        for host in [
            ":80",
            "256.0.0.1:80",
            "1.2.3:80",
            "::1:80",
            "[nope]:80",
            "[::1:80",
            "-a.b:80",
            "a..b:80",
            "ä:80",
        ] {
            check(host, AddressError::Host);
        }
        check(&format!("{}:80", ["a"; 128].join(".")), AddressError::Host);
    }
}

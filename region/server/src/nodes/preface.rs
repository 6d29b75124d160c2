//! What stands before a connection's own bytes when a node passes it on: where the client is.
//!
//! 19 bytes: the version, the client's IP address (an IPv4 address as IPv6 maps it), its port.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 1;
const LEN: usize = 19;

/// Tells where a client is.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), client: SocketAddr) -> io::Result<()> {
    to.write_all(&encode(client)).await
}

/// Hears where a client is.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<SocketAddr> {
    let mut bytes = [0; LEN];
    from.read_exact(&mut bytes).await?;
    decode(bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a preface of another version"))
}

fn encode(client: SocketAddr) -> [u8; LEN] {
    let ip = match client.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; LEN];
    bytes[0] = VERSION;
    bytes[1..17].copy_from_slice(&ip.octets());
    bytes[17..].copy_from_slice(&client.port().to_be_bytes());
    bytes
}

fn decode(bytes: [u8; LEN]) -> Option<SocketAddr> {
    let (version, rest) = bytes.split_first()?;
    let (ip, port) = rest.split_first_chunk::<16>()?;
    let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
    let port = u16::from_be_bytes(port.try_into().ok()?);
    (*version == VERSION).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_as_it_is() {
        for client in ["10.1.2.3:65535", "[2001:db8::7]:1", "[::1]:0"] {
            let client: SocketAddr = client.parse().unwrap();
            assert_eq!(decode(encode(client)), Some(client));
        }
        // Pinned: nodes of two releases may speak to each other.
        let golden = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3, 31, 64];
        assert_eq!(encode("10.1.2.3:8000".parse().unwrap()), golden);
        let mut other = golden;
        other[0] = 2;
        assert_eq!(decode(other), None);
    }
}

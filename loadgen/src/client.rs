//! One kept-alive HTTP/1.1 connection, one request at a time.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::signer::{Credentials, Signer};

/// Where a server listens and how to sign for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The data port, HTTP without TLS.
    pub address: SocketAddr,
    /// Who signs.
    pub credentials: Credentials,
}

/// An answer: the HTTP status and where its body lies in the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    head_bytes: usize,
    body_bytes: usize,
}

/// An open connection to an endpoint.
pub struct Connection {
    stream: TcpStream,
    signer: Signer,
    output: Vec<u8>,
    input: BytesMut,
    /// Bytes of `input` that the last reply took; dropped when the next request starts.
    taken: usize,
}

/// A reply's head longer than this is refused.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// A reply's body longer than this is refused: DynamoDB's largest answers are 16 MB.
const BODY_BYTES_MAX: usize = 32 << 20;

impl Connection {
    /// Connects; fails as TCP fails.
    pub async fn open(endpoint: &Endpoint) -> io::Result<Connection> {
        let stream = TcpStream::connect(endpoint.address).await?;
        stream.set_nodelay(true)?;
        let signer = Signer::new(endpoint.credentials.clone(), endpoint.address.to_string());
        Ok(Connection {
            stream,
            signer,
            output: Vec::new(),
            input: BytesMut::with_capacity(8 << 10),
            taken: 0,
        })
    }

    /// Sends one signed request and waits for its whole reply. `target` is the X-Amz-Target header. After an error the
    /// connection is of no more use.
    pub async fn call(&mut self, target: &str, body: &[u8]) -> io::Result<Reply> {
        self.input.advance(self.taken);
        self.taken = 0;
        self.output.clear();
        self.signer.request(target, body, &mut self.output);
        self.stream.write_all(&self.output).await?;
        loop {
            if let Some(reply) = parse_head(&self.input)? {
                let whole = reply.head_bytes + reply.body_bytes;
                self.input.reserve(whole.saturating_sub(self.input.len()));
                while self.input.len() < whole {
                    self.fill().await?;
                }
                self.taken = whole;
                return Ok(reply);
            }
            self.fill().await?;
        }
    }

    /// The body of the last reply.
    pub fn body(&self, reply: Reply) -> &[u8] {
        self.input
            .get(reply.head_bytes..reply.head_bytes + reply.body_bytes)
            .unwrap_or_default()
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        Ok(())
    }
}

/// The head of a reply, once all of it is there. Understands what DynamoDB sends: a Content-Length, never chunks.
fn parse_head(input: &[u8]) -> io::Result<Option<Reply>> {
    let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return if input.len() > HEAD_BYTES_MAX {
            Err(bad("a head over its limit"))
        } else {
            Ok(None)
        };
    };
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let status = lines
        .next()
        .and_then(|line| line.get(9..12))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or_else(|| bad("no status line"))?;
    let mut body_bytes = None;
    for line in lines {
        const NAME: &[u8] = b"content-length:";
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let digits = std::str::from_utf8(&line[NAME.len()..]).map_err(|_| bad("a bad Content-Length"))?;
            body_bytes = Some(
                digits
                    .trim()
                    .parse::<usize>()
                    .map_err(|_| bad("a bad Content-Length"))?,
            );
        }
    }
    match body_bytes {
        Some(body_bytes) if body_bytes <= BODY_BYTES_MAX => Ok(Some(Reply {
            status,
            head_bytes: end + 4,
            body_bytes,
        })),
        Some(_) => Err(bad("a body over its limit")),
        None => Err(bad("no Content-Length")),
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server's reply has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let check = |input: &str, expect: Option<(u16, usize, usize)>| {
            let reply = parse_head(input.as_bytes()).unwrap();
            assert_eq!(
                reply.map(|r| (r.status, r.head_bytes, r.body_bytes)),
                expect,
                "{input:?}"
            );
        };
        check("HTTP/1.1 200 OK\r\nContent-Le", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Some((200, 38, 2)));
        check(
            "HTTP/1.1 400 Bad Request\r\nA: b\r\nContent-Length:17\r\n\r\n",
            Some((400, 53, 17)),
        );
        for bad in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}

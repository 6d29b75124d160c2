//! One HTTP/1.1 connection, one request at a time; kept alive unless the server closes it, and then opened anew.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{
    signer::{Credentials, Signer},
    tls::Tls,
};

/// Where a server listens and how to sign for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The data port.
    pub address: SocketAddr,
    /// Who signs.
    pub credentials: Credentials,
    /// How HTTPS is spoken; `None` for HTTP.
    pub tls: Option<Tls>,
}

/// An answer: the HTTP status and where its body lies in the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    head_bytes: usize,
    body_bytes: usize,
}

enum Stream {
    Plain(TcpStream),
    // Boxed: it is some KB large.
    Secure(Box<TlsStream<TcpStream>>),
}

/// An open connection to an endpoint.
pub struct Connection {
    endpoint: Endpoint,
    stream: Stream,
    /// The server said with its last reply that it takes no other request on this stream.
    is_over: bool,
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
    /// Connects; fails as TCP and TLS fail.
    pub async fn open(endpoint: &Endpoint) -> io::Result<Connection> {
        let host = match &endpoint.tls {
            None => endpoint.address.to_string(),
            Some(tls) => tls.host(endpoint.address.port()),
        };
        let signer = Signer::new(endpoint.credentials.clone(), host);
        Ok(Connection {
            endpoint: endpoint.clone(),
            stream: connect(endpoint).await?,
            is_over: false,
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
        if self.is_over {
            self.stream = connect(&self.endpoint).await?;
            self.input.clear();
            self.is_over = false;
        }
        self.output.clear();
        self.signer.request(target, body, &mut self.output);
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(&self.output).await?,
            Stream::Secure(stream) => {
                stream.write_all(&self.output).await?;
                stream.flush().await?;
            }
        }
        loop {
            if let Some(head) = parse_head(&self.input)? {
                self.is_over = head.closes;
                let Some(body_bytes) = head.body_bytes else {
                    return self.read_chunks(head).await;
                };
                let reply = Reply {
                    status: head.status,
                    head_bytes: head.bytes,
                    body_bytes,
                };
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

    /// Reads a body that comes in chunks, as some servers send it, and puts it together behind the head.
    async fn read_chunks(&mut self, head: Head) -> io::Result<Reply> {
        let mut body = Vec::new();
        let mut at = head.bytes;
        loop {
            let line_end = loop {
                let found = self.input[at..].windows(2).position(|bytes| bytes == b"\r\n");
                match found {
                    Some(end) => break at + end,
                    None if self.input.len() - at > HEAD_BYTES_MAX => return Err(bad("a bad chunk")),
                    None => self.fill().await?,
                }
            };
            let size = std::str::from_utf8(&self.input[at..line_end]).map_err(|_| bad("a bad chunk"))?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| bad("a bad chunk"))?;
            if body.len() + size.min(BODY_BYTES_MAX + 1) > BODY_BYTES_MAX {
                return Err(bad("a body over its limit"));
            }
            let from = line_end + 2;
            // The chunk, and the end of its line; after the last one, the end of the trailers, of which there are none.
            while self.input.len() < from + size + 2 {
                self.fill().await?;
            }
            body.extend_from_slice(&self.input[from..from + size]);
            at = from + size + 2;
            if size == 0 {
                break;
            }
        }
        let rest = self.input.split_off(at);
        self.input.truncate(head.bytes);
        self.input.extend_from_slice(&body);
        self.input.unsplit(rest);
        self.taken = head.bytes + body.len();
        Ok(Reply {
            status: head.status,
            head_bytes: head.bytes,
            body_bytes: body.len(),
        })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.input).await?,
            Stream::Secure(stream) => stream.read_buf(&mut self.input).await?,
        };
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        Ok(())
    }
}

async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
    let stream = TcpStream::connect(endpoint.address).await?;
    stream.set_nodelay(true)?;
    Ok(match &endpoint.tls {
        None => Stream::Plain(stream),
        Some(tls) => Stream::Secure(Box::new(tls.connect(stream).await?)),
    })
}

/// A reply's head.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    bytes: usize,
    /// The body's length; `None` if it comes in chunks.
    body_bytes: Option<usize>,
    /// The server closes the connection after this reply.
    closes: bool,
}

/// The head of a reply, once all of it is there. DynamoDB sends a Content-Length; others send chunks, too.
fn parse_head(input: &[u8]) -> io::Result<Option<Head>> {
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
    let (mut is_chunked, mut closes) = (false, false);
    for line in lines {
        let lower = line.to_ascii_lowercase();
        is_chunked |= lower.starts_with(b"transfer-encoding: chunked");
        closes |= lower.starts_with(b"connection: close");
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
        Some(body_bytes) if body_bytes > BODY_BYTES_MAX => Err(bad("a body over its limit")),
        None if !is_chunked => Err(bad("no Content-Length")),
        body_bytes => Ok(Some(Head {
            status,
            bytes: end + 4,
            body_bytes,
            closes,
        })),
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
        let check = |input: &str, expect: Option<(u16, usize, Option<usize>)>| {
            let reply = parse_head(input.as_bytes()).unwrap();
            assert_eq!(reply.map(|r| (r.status, r.bytes, r.body_bytes)), expect, "{input:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Le", None);
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            Some((200, 38, Some(2))),
        );
        check(
            "HTTP/1.1 400 Bad Request\r\nA: b\r\nContent-Length:17\r\n\r\n",
            Some((400, 53, Some(17))),
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Some((200, 47, None)),
        );
        for bad in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_server_may_close() {
        let closes = |more: &str| {
            let head = format!("HTTP/1.1 200 OK\r\n{more}content-length: 2\r\n\r\n{{}}");
            parse_head(head.as_bytes()).unwrap().unwrap().closes
        };
        assert!(closes("Connection: close\r\n"));
        assert!(!closes("") && !closes("connection: keep-alive\r\n"));
    }
}

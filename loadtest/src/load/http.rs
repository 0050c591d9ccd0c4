//! Plain HTTP/1.1 over a connection that is kept alive: GET requests and their answers. It knows nothing of what is
//! asked for.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Tally;
use crate::clock;

/// Keeps one GET request under way on a connection to `address`, taking the encoded `requests` in turn, until one of
/// them is not answered with 200.
pub async fn drive(address: SocketAddr, requests: &[Vec<u8>], tally: &Tally) -> Result<Infallible> {
    let mut connection = Connection::open(address).await?;
    for request in requests.iter().cycle() {
        let begun = clock::instant();
        let status = connection.ask(request).await?;
        ensure!(status == 200, "a call was answered with {status}");
        tally.count(begun, clock::instant());
    }
    anyhow::bail!("no request to send")
}

/// The whole answer to GET `path`, on a connection of its own.
pub async fn text(address: SocketAddr, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(&get(path, &[("host", "localhost"), ("connection", "close")])).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status that GET `path` is answered with, on a connection of its own.
pub async fn status(address: SocketAddr, path: &str) -> Result<u16> {
    let answer = text(address, path).await?;
    let status = answer.split_ascii_whitespace().nth(1).context("an answer without a status")?;
    Ok(status.parse()?)
}

/// A GET request, encoded.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// A connection that asks one thing after the other.
pub struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    /// Connects to `address`.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let socket =
            TcpStream::connect(address).await.with_context(|| format!("cannot reach `{address}`"))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, input: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and takes in its whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        self.socket.write_all(request).await?;
        self.input.clear();
        loop {
            ensure!(self.socket.read_buf(&mut self.input).await? > 0, "the connection was closed");
            if let Some(head) = head(&self.input)? {
                while self.input.len() < head.length {
                    ensure!(self.socket.read_buf(&mut self.input).await? > 0, "the connection was closed");
                }
                return Ok(head.status);
            }
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The whole answer, head and body.
    length: usize,
}

/// The head of an answer; `None` while it is incomplete. A body is as long as `content-length` says.
fn head(input: &[u8]) -> Result<Option<Head>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = input.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let (head, _) = input.split_at_checked(end).context("an answer without a head")?;
    let head = std::str::from_utf8(head).context("an answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer without a status")?;
    let mut body = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "the answer's length is not announced");
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse().context("the answer's length is no number")?;
        }
    }
    Ok(Some(Head { status: status.parse()?, length: end + END.len() + body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_head() {
        let cases: [(&str, Option<Head>); 4] = [
            ("HTTP/1.1 200 OK\r\nserver: x\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", Some(Head { status: 200, length: 19 })),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno", Some(Head { status: 403, length: 49 })),
            (
                "HTTP/1.1 200 \r\ncontent-length:  2 \r\na: b:c\r\n\r\nok",
                Some(Head { status: 200, length: 48 }),
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(head(input.as_bytes()).unwrap(), expected, "{input}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_delimit() {
        for input in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(head(input.as_bytes()).is_err(), "{input}");
        }
    }
}

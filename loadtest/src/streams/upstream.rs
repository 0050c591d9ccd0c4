//! The upstream of masked streams: one large body, and streams of events that say when they were sent. It knows nothing of
//! proxies, and speaks as much HTTP/1.1 as they need.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::clock;

/// What masks have to take.
pub const SECRET: &str = "4929381705628341";
/// What they leave of it.
pub const MASKED: &str = "************8341";

/// Between two events of a stream that only stays.
const QUIET: Duration = Duration::from_secs(1);

/// What is served, and how fast.
pub struct Plan {
    /// The body of `/masked/large`.
    pub body: Vec<u8>,
    /// Between two events of `/masked/events`.
    pub interval: Duration,
    /// How many events there are; then the stream ends.
    pub events: u32,
    /// When the time that events carry begins.
    pub origin: Instant,
}

/// Serves on an address of loopback until the runtime ends.
pub async fn start(plan: Plan) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let plan = Arc::new(plan);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let plan = Arc::clone(&plan);
            // A proxy that hangs up ends its connection, and only that.
            tokio::spawn(async move { plan.serve(socket).await });
        }
    });
    Ok(address)
}

impl Plan {
    /// Answers one request after the other on a connection.
    async fn serve(&self, mut socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true)?;
        let mut input = Vec::new();
        while let Some(path) = next_path(&mut socket, &mut input).await? {
            match path.as_str() {
                "/masked/large" => self.large(&mut socket).await?,
                "/masked/events" => events(&mut socket, self.events, self.interval, self.origin).await?,
                // For as long as the caller likes.
                _ => events(&mut socket, u32::MAX, QUIET, self.origin).await?,
            }
        }
        Ok(())
    }

    async fn large(&self, socket: &mut TcpStream) -> Result<()> {
        let length = self.body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).await?;
        Ok(socket.write_all(&self.body).await?)
    }
}

async fn events(socket: &mut TcpStream, count: u32, interval: Duration, origin: Instant) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await?;
    for _ in 0..count {
        let event = event(origin);
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        socket.write_all(chunk.as_bytes()).await?;
        tokio::time::sleep(interval).await;
    }
    Ok(socket.write_all(b"0\r\n\r\n").await?)
}

/// An event with something to mask, sent now.
fn event(origin: Instant) -> String {
    let sent = clock::instant().saturating_duration_since(origin).as_nanos();
    format!(
        "data: {{\"sent\": {sent}, \"card\": {{\"number\": \"{SECRET}\"}}, \"note\": \"an order was paid\"}}\n\n"
    )
}

/// How long before `now` an event was sent, by what it says; `None` for what is no event.
pub fn age(event: &str, origin: Instant, now: Instant) -> Option<Duration> {
    let (_, rest) = event.split_once("\"sent\": ")?;
    let sent = rest.split(',').next()?.parse().ok()?;
    now.saturating_duration_since(origin).checked_sub(Duration::from_nanos(sent))
}

/// The path of the next request on a connection; `None` at its end. `input` keeps what came too early.
async fn next_path(socket: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<String>> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        if let Some(end) = input.windows(END.len()).position(|window| window == END) {
            let head: Vec<u8> = input.drain(..end + END.len()).collect();
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).context("a request without a path")?;
            return Ok(Some(path.to_owned()));
        }
        if socket.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// A JSON document of about so many bytes: orders with cards.
pub fn orders(bytes: usize) -> Vec<u8> {
    let mut body = b"[".to_vec();
    for number in 0_u64.. {
        let order = format!(
            "{{\"id\":{number},\"customer\":{{\"name\":\"Ana Torres\",\"card\":{{\"brand\":\"visa\",\"number\":\"{SECRET}\"}}}},\
             \"items\":[{{\"sku\":\"A-{number}\",\"count\":2}},{{\"sku\":\"B-{number}\",\"count\":1}}],\
             \"note\":\"leave it at the door, please; ring twice\",\"paid\":true}}"
        );
        body.extend_from_slice(order.as_bytes());
        if body.len() >= bytes {
            break;
        }
        body.push(b',');
    }
    body.push(b']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_its_age() {
        let origin = clock::instant();
        let event = event(origin);
        let later = clock::instant() + Duration::from_secs(5);
        let age = age(&event, origin, later).unwrap();
        assert!(age >= Duration::from_secs(5) && age < Duration::from_secs(6), "{age:?}");
        assert_eq!(super::age("data: {}\n\n", origin, later), None);
    }

    #[test]
    fn the_large_body_is_json_with_something_to_mask() {
        let body: serde_json::Value = serde_json::from_slice(&orders(10_000)).unwrap();
        assert_eq!(body[3]["customer"]["card"]["number"], SECRET);
    }
}

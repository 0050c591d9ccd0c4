//! The calls of one connection as a gRPC client makes them, without the cost of one: the frames of a unary call are
//! laid out once and written again and again, and an answer is decoded just enough to see that it says yes. A common
//! client costs about as much CPU per call as the server under test, and would measure itself.
//!
//! It speaks the part of HTTP/2 (RFC 9113) that such a connection needs, and refuses the rest.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, check_response::HttpResponse};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Tally;
use crate::clock;
use frame::{Frame, Kind};

mod frame;

/// The largest request: one DATA frame, within every window that a server may begin with by default.
const LARGEST_MESSAGE: usize = 16_000;
/// What gRPC puts before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Answers are acknowledged once this many bytes of them have come.
const ACKNOWLEDGE: u32 = 1 << 20;

/// Keeps `streams` calls of `Check` under way on one connection to `address`, taking the encoded `messages` in turn,
/// until one of them is not answered with yes.
pub async fn drive(
    address: SocketAddr,
    messages: &[Vec<u8>],
    streams: usize,
    tally: &Tally,
) -> Result<Infallible> {
    ensure!(!messages.is_empty(), "no message to send");
    ensure!(messages.iter().all(|message| message.len() <= LARGEST_MESSAGE), "a message is too long");
    let mut socket =
        TcpStream::connect(address).await.with_context(|| format!("cannot reach `{address}`"))?;
    socket.set_nodelay(true)?;
    let mut messages = messages.iter().cycle().peekable();
    let mut connection = Connection::open();
    let mut input = Vec::with_capacity(64 * 1024);
    let mut due = streams;
    loop {
        while due > 0
            && let Some(message) = messages.next_if(|message| connection.admits(message))
        {
            connection.call(message)?;
            due -= 1;
        }
        socket.write_all(&connection.output).await?;
        connection.output.clear();
        ensure!(socket.read_buf(&mut input).await? > 0, "the server closed the connection");
        let ended = clock::instant();
        let mut rest = input.as_slice();
        while let Some((frame, behind)) = frame::split(rest) {
            if let Some(begun) = connection.take(&frame)? {
                tally.count(begun, ended);
                due += 1;
            }
            rest = behind;
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
    }
}

/// What a call of `message` takes from the server's window.
fn cost(message: &[u8]) -> i64 {
    (PREFIX + message.len()).try_into().unwrap_or(i64::MAX)
}

/// One client's end of an HTTP/2 connection.
struct Connection {
    /// The header block of every call.
    headers: Vec<u8>,
    /// Frames that wait to be written.
    output: Vec<u8>,
    next_stream: u32,
    /// How much the server still lets us send on the connection.
    send_window: i64,
    /// Bytes of answers that are not acknowledged yet.
    received: u32,
    calls: HashMap<u32, Call>,
}

/// A call under way.
struct Call {
    begun: Instant,
    answer: Vec<u8>,
}

impl Connection {
    fn open() -> Self {
        Self {
            headers: frame::call_headers("/envoy.service.auth.v3.Authorization/Check"),
            output: frame::preface(),
            next_stream: 1,
            send_window: 65_535,
            received: 0,
            calls: HashMap::new(),
        }
    }

    /// Whether the server's window has room for a call of `message`.
    fn admits(&self, message: &[u8]) -> bool {
        cost(message) <= self.send_window
    }

    /// Begins a call of `message`.
    fn call(&mut self, message: &[u8]) -> Result<()> {
        let stream = self.next_stream;
        self.next_stream = stream.checked_add(2).context("the connection ran out of streams")?;
        let length = u32::try_from(message.len())?;
        self.send_window -= cost(message);
        frame::write(&mut self.output, Kind::Headers, frame::END_HEADERS, stream, &[&self.headers]);
        let prefix = [&[0], length.to_be_bytes().as_slice()].concat();
        frame::write(&mut self.output, Kind::Data, frame::END_STREAM, stream, &[&prefix, message]);
        self.calls.insert(stream, Call { begun: clock::instant(), answer: Vec::new() });
        Ok(())
    }

    /// Takes a frame in; when it ends a call, returns when that call had begun.
    fn take(&mut self, frame: &Frame<'_>) -> Result<Option<Instant>> {
        match Kind::of(frame.kind) {
            Some(Kind::Data) => self.take_data(frame)?,
            Some(Kind::Headers) => {
                ensure!(frame.flags & frame::END_HEADERS != 0, "the answer's headers span several frames");
            }
            Some(Kind::Settings) => self.take_settings(frame)?,
            Some(Kind::Ping) if frame.flags & frame::ACK == 0 => {
                frame::write(&mut self.output, Kind::Ping, frame::ACK, 0, &[frame.payload]);
            }
            Some(Kind::WindowUpdate) if frame.stream == 0 => {
                self.send_window += i64::from(frame::number(frame.payload)?);
            }
            Some(Kind::ResetStream) => {
                bail!("the server reset a call: code {}", frame::number(frame.payload)?)
            }
            Some(Kind::GoAway) => bail!("the server sent the connection away"),
            Some(Kind::Ping | Kind::WindowUpdate) | None => {}
        }
        let ends = matches!(Kind::of(frame.kind), Some(Kind::Data | Kind::Headers));
        if ends && frame.flags & frame::END_STREAM != 0 { self.end(frame.stream).map(Some) } else { Ok(None) }
    }

    fn take_data(&mut self, frame: &Frame<'_>) -> Result<()> {
        ensure!(frame.flags & frame::PADDED == 0, "the answer is padded");
        let call = self.calls.get_mut(&frame.stream).context("an answer to no call")?;
        call.answer.extend_from_slice(frame.payload);
        self.received += u32::try_from(frame.payload.len())?;
        if self.received >= ACKNOWLEDGE {
            let increment = self.received.to_be_bytes();
            frame::write(&mut self.output, Kind::WindowUpdate, 0, 0, &[&increment]);
            self.received = 0;
        }
        Ok(())
    }

    fn take_settings(&mut self, frame: &Frame<'_>) -> Result<()> {
        if frame.flags & frame::ACK == 0 {
            let window = frame::setting(frame.payload, frame::INITIAL_WINDOW_SIZE).unwrap_or(65_535);
            ensure!(window as usize > LARGEST_MESSAGE, "the server's stream window is too small");
            frame::write(&mut self.output, Kind::Settings, frame::ACK, 0, &[]);
        }
        Ok(())
    }

    /// Ends the call on `stream`, which must have been answered with yes.
    fn end(&mut self, stream: u32) -> Result<Instant> {
        let call = self.calls.remove(&stream).context("the end of no call")?;
        let Some((&[0, _, _, _, _], message)) = call.answer.split_first_chunk() else {
            bail!("a call ended with a gRPC error, or with an answer that is compressed");
        };
        let response = CheckResponse::decode(message).context("an answer is no `CheckResponse`")?;
        let code = response.status.map_or(0, |status| status.code);
        let denied = matches!(response.http_response, Some(HttpResponse::DeniedResponse(_)));
        ensure!(code == 0 && !denied, "a call was denied: code {code}");
        Ok(call.begun)
    }
}

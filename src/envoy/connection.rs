//! One HTTP/2 connection of a proxy, with all its calls in one task.
//!
//! A task for each call would cost more than deciding it: a proxy sends many calls at once, and each answer would
//! be woken, scheduled and written by itself. Here one read brings many calls, all of them are answered, and one
//! write takes the answers back. Proxies open a connection for each of their worker threads, so that the load is
//! spread over processors all the same.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, CatchUnwind, FutureExt};
use futures_util::stream::{FuturesUnordered, Stream};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tonic::body::Body;
use tower::Service;

/// How often a silent proxy is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What a proxy may send before it is read: for one call, and for all of a connection.
pub const STREAM_WINDOW: u32 = 1 << 20;
pub const CONNECTION_WINDOW: u32 = 16 << 20;

/// Takes up the calls of a connection in the order they come.
#[derive(Clone)]
struct Inline(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Inline {
    fn execute(&self, call: F) {
        // The receiver lives as long as the connection that calls this.
        self.0.send(Box::pin(call)).ok();
    }
}

/// A connection that is served until its proxy closes it, or until it has drained. Dropping it drops its calls.
struct Connection<H> {
    http2: Pin<Box<H>>,
    taken_up: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
    /// A panic ends one call, not its neighbours.
    calls: FuturesUnordered<CatchUnwind<AssertUnwindSafe<BoxFuture<'static, ()>>>>,
}

/// Serves one connection. Once `draining` completes, the proxy is told to send nothing new (GOAWAY), and the calls in
/// flight are finished.
pub async fn serve<IO, S>(io: IO, service: S, draining: impl Future<Output = ()>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<http::Request<Incoming>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, taken_up) = mpsc::unbounded_channel();
    let http2 = http2::Builder::new(Inline(sender))
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Held calls stay open for minutes; `holds` limits them.
        .max_concurrent_streams(None)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut connection = Connection { http2: Box::pin(http2), taken_up, calls: FuturesUnordered::new() };
    let ended = tokio::select! {
        ended = std::future::poll_fn(|context| connection.poll(context)) => ended,
        () = draining => {
            connection.http2.as_mut().graceful_shutdown();
            std::future::poll_fn(|context| connection.poll(context)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}

impl<H: Future<Output = hyper::Result<()>>> Connection<H> {
    /// Turns until nothing more can be read: takes up the calls that came, moves all of them on, writes what they
    /// answered.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        loop {
            if let Poll::Ready(ended) = self.http2.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let mut moved = false;
            while let Ok(call) = self.taken_up.try_recv() {
                self.calls.push(AssertUnwindSafe(call).catch_unwind());
                moved = true;
            }
            while let Poll::Ready(Some(ended)) = Pin::new(&mut self.calls).poll_next(context) {
                if ended.is_err() {
                    tracing::error!("a call ended in a panic outside its handler; its stream is reset");
                }
                moved = true;
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }
}

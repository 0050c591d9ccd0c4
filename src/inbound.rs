//! Serves HTTP/1.1 and HTTP/2 to whoever connects, of whom none may take up the connections of the others: so many at once,
//! and none for long without a request under way.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, oneshot, watch};
use tower::ServiceExt as _;

/// What clients may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait until one ends.
    pub connections: usize,
    /// How long a connection may stay without a request under way: before the first, between two, or after the last. A
    /// request is under way once its head is read, until its answer is handed over to be sent, for a minute at most; or as
    /// long as its handler keeps [`UnderWay`].
    pub quiet: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 256, quiet: Duration::from_secs(10) }
    }
}

/// How long a connection that was told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long an answer may take to be read once it began, so that no slow reader keeps a connection.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// The most of an answer that is handed over at once, in bytes: what was handed over counts as sent.
const PIECE: usize = 16 << 10;

/// Serves `router` until it is dropped. Connections that are served then end by themselves.
///
/// Requests have the address of their peer as `ConnectInfo` among their extensions.
pub async fn serve<L>(mut listener: L, router: Router, limits: Limits)
where
    L: Listener,
    L::Addr: Clone + Send + Sync + 'static,
{
    let turns = Arc::new(Semaphore::new(limits.connections));
    // Gone with this future: its connections are told to end, so that no client goes on with a server that has stopped.
    let serving = watch::Sender::new(());
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let (io, peer) = listener.accept().await;
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        let connection = serve_connection(io, router, limits.quiet, serving.subscribe());
        tokio::spawn(async move {
            connection.await;
            drop(turn);
        });
    }
}

/// Serves one connection. How it ends is its client's business.
async fn serve_connection<IO>(io: IO, router: Router, quiet: Duration, mut serving: watch::Receiver<()>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let under_way = watch::Sender::new(0_usize);
    let mut activity = under_way.subscribe();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (turn, router) = (Arc::new(Turn::new(&under_way)), router.clone());
        request.extensions_mut().insert(UnderWay(turn.clone()));
        async move {
            let answered: Result<Response, Infallible> = router.oneshot(request).await;
            answered.map(|response| response.map(|body| Body::new(Sending::new(body, turn))))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(server.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = quiet_for(quiet, &mut activity) => connection.as_mut().graceful_shutdown(),
        _ = serving.changed() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = quiet_for(LAST_WORDS, &mut activity) => {}
    }
}

/// Completes once no request was under way for so long.
async fn quiet_for(limit: Duration, activity: &mut watch::Receiver<usize>) {
    loop {
        let under_way = *activity.borrow_and_update();
        let changed = match under_way {
            0 => tokio::time::timeout(limit, activity.changed()).await,
            _ => Ok(activity.changed().await),
        };
        if !matches!(changed, Ok(Ok(()))) {
            return;
        }
    }
}

/// In the extensions of each request: while a clone lives, its connection is not quiet, also after the answer began. For
/// answers without an end, whose makers know when they have to.
#[derive(Clone)]
pub struct UnderWay(#[expect(dead_code, reason = "it counts until it is dropped")] Arc<Turn>);

/// The body of an answer, in pieces. Its request is under way until it ends, or is dropped, or has taken too long.
struct Sending {
    body: Body,
    /// The rest of what the body gave last.
    rest: Bytes,
    /// Gone when the body is.
    _turn: oneshot::Sender<()>,
}

impl Sending {
    fn new(body: Body, turn: Arc<Turn>) -> Self {
        let (sending, sent) = oneshot::channel();
        // A body that nobody reads is not asked for more, and so could not tell the time.
        tokio::spawn(async move {
            // Either way its time is over.
            let _ = tokio::time::timeout(LONGEST_ANSWER, sent).await;
            drop(turn);
        });
        Self { body, rest: Bytes::new(), _turn: sending }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        let most = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(of_body.lower().saturating_add(rest));
        hint
    }
}

/// Counts a request as under way while it lives.
struct Turn(watch::Sender<usize>);

impl Turn {
    fn new(under_way: &watch::Sender<usize>) -> Self {
        under_way.send_modify(|requests| *requests += 1);
        Self(under_way.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.send_modify(|requests| *requests = requests.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const HOUR: Duration = Duration::from_secs(3_600);

    async fn server(connections: usize, quiet: Duration) -> SocketAddr {
        let slow = get(async move || {
            // Longer than the connection may be quiet.
            tokio::time::sleep(Duration::from_millis(300)).await;
            "slow"
        });
        let events = get(async |Extension(under_way): Extension<UnderWay>| {
            let spaced = futures_util::stream::iter(["data: 1\n\n", "data: 2\n\n"]).then(move |event| {
                let _kept = under_way.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok::<_, Infallible>(event)
                }
            });
            Body::from_stream(spaced)
        });
        let router =
            Router::new().route("/", get(|| async { "fine" })).route("/slow", slow).route("/events", events);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, Limits { connections, quiet }));
        address
    }

    async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// All that the server says until it closes the connection.
    async fn all_of(mut stream: TcpStream) -> String {
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await;
        // A reset ends a connection too.
        let _ = read.expect("the server closes the connection");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Reads until `end` was said.
    async fn until(stream: &mut TcpStream, end: &str) {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).ends_with(end) {
            said.push(stream.read_u8().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed_however_far_it_came() {
        let address = server(10, Duration::from_millis(50)).await;
        let (preface, settings) = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        let http2 = [&preface[..], &settings].concat();
        for bytes in [&b""[..], b"G", b"PRI", b"GET / HTTP/1.1\r\nhost", preface, &http2] {
            let said = all_of(sent(address, bytes).await).await;
            assert!(!said.contains("fine"), "{said}");
        }
        let said = all_of(sent(address, GET).await).await;
        assert!(said.ends_with("fine"), "and one that wants nothing more: {said}");
    }

    #[tokio::test]
    async fn a_request_that_is_under_way_is_answered() {
        let address = server(10, Duration::from_millis(50)).await;
        let said = all_of(sent(address, b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await).await;
        assert!(said.ends_with("slow"), "{said}");
    }

    #[tokio::test]
    async fn an_answer_whose_maker_keeps_it_under_way_is_heard_to_its_end() {
        let address = server(10, Duration::from_millis(50)).await;
        let said = all_of(sent(address, b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await).await;
        assert!(said.contains("data: 2"), "{said}");
    }

    #[tokio::test]
    async fn a_long_answer_is_heard_to_its_end_by_a_slow_reader() {
        const LONG: usize = 64 << 20;
        let router = Router::new().route("/", get(async || vec![b'x'; LONG]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 1, quiet: Duration::from_millis(50) };
        tokio::spawn(serve(listener, router, limits));
        let stream = sent(address, GET).await;
        // As long as a quiet connection has, and its last words.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let said = all_of(stream).await;
        assert!(said.len() > LONG, "{} bytes", said.len());
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_after_another() {
        let mut stream = sent(server(10, HOUR).await, GET).await;
        until(&mut stream, "fine").await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(all_of(stream).await.ends_with("fine"));
    }

    #[tokio::test]
    async fn a_request_says_whom_it_is_from() {
        let who = get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| format!("from {peer}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Router::new().route("/", who), Limits { connections: 9, quiet: HOUR }));
        let mut stream = sent(address, GET).await;
        let own = stream.local_addr().unwrap();
        until(&mut stream, &format!("from {own}")).await;
    }

    #[tokio::test]
    async fn a_server_that_stops_ends_its_connections() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router, Limits { connections: 10, quiet: HOUR }));
        let mut stream = sent(address, GET).await;
        until(&mut stream, "fine").await;
        serving.abort();
        assert_eq!(all_of(stream).await, "");
    }

    #[tokio::test]
    async fn of_more_connections_than_allowed_the_last_wait() {
        let address = server(2, HOUR).await;
        let (mut first, mut second) = (sent(address, GET).await, sent(address, GET).await);
        until(&mut first, "fine").await;
        until(&mut second, "fine").await;
        let mut third = sent(address, GET).await;
        let answered = tokio::time::timeout(Duration::from_millis(200), third.read_u8()).await;
        assert!(answered.is_err(), "{answered:?}");
        drop(first);
        until(&mut third, "fine").await;
    }
}

//! Serves HTTP/1.1 and HTTP/2 to whoever connects, of whom none may take up the connections of the others: so many at once,
//! of whom those without a credential give way, and none for long without a request under way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
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

mod places;

use places::{Handle, Place, Places};
pub use places::{Most, Report};

/// What clients may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub most: Most,
    /// How long the first request may take to come, with its body.
    pub first: Duration,
    /// How long a connection may stay without a request under way: between two, or after the last. A request is under way
    /// once its body is read, or its credential was taken, until its answer is handed over to be sent, for a minute at
    /// most; or as long as its handler keeps [`UnderWay`].
    pub quiet: Duration,
}

impl Default for Limits {
    /// For a listener where nobody shows a credential.
    fn default() -> Self {
        let most = Most { strangers: 256, known: 0, of_person: 0 };
        Self { most, first: Duration::from_secs(5), quiet: Duration::from_secs(10) }
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
pub async fn serve<L>(mut listener: L, router: Router, limits: Limits, report: Option<Report>)
where
    L: Listener<Addr = SocketAddr>,
{
    let places = Places::new(limits.most, report);
    // Those that gave way end a moment later: they too are so many at most.
    let open = Arc::new(Semaphore::new(2 * (limits.most.strangers + limits.most.known)));
    // Gone with this future: its connections are told to end, so that no client goes on with a server that has stopped.
    let serving = watch::Sender::new(());
    loop {
        let Ok(turn) = open.clone().acquire_owned().await else { return };
        let (io, peer) = listener.accept().await;
        let requests = watch::Sender::new(0);
        let place = places.admit(peer.ip(), requests.clone());
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        let connection = serve_connection(io, router, limits, (place, requests), serving.subscribe());
        tokio::spawn(async move {
            connection.await;
            drop(turn);
        });
    }
}

/// Serves one connection, with its place and the count of its requests. How it ends is its client's business.
async fn serve_connection<IO>(
    io: IO,
    router: Router,
    limits: Limits,
    (place, requests): (Place, watch::Sender<usize>),
    mut serving: watch::Receiver<()>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut activity = requests.subscribe();
    let handle = place.handle();
    let service = service_fn(move |request: Request<Incoming>| {
        let (turn, router) = (Arc::new(Turn::new(&requests)), router.clone());
        let mut request = request.map(|body| Reading::new(body, &turn));
        request.extensions_mut().insert(UnderWay { turn: turn.clone(), place: handle.clone() });
        async move {
            let answered: Result<Response, Infallible> = router.oneshot(request).await;
            turn.count();
            answered.map(|response| response.map(|body| Body::new(Sending::new(body, turn))))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(server.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = place.gives_way() => return,
        () = quiet_for(limits.first, limits.quiet, &mut activity) => connection.as_mut().graceful_shutdown(),
        _ = serving.changed() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = place.gives_way() => {}
        () = quiet_for(LAST_WORDS, LAST_WORDS, &mut activity) => {}
    }
}

/// Completes once no request was under way for so long: at first, and after the first request.
async fn quiet_for(first: Duration, then: Duration, activity: &mut watch::Receiver<usize>) {
    let mut limit = first;
    loop {
        let under_way = *activity.borrow_and_update();
        let changed = match under_way {
            0 => tokio::time::timeout(limit, activity.changed()).await,
            _ => Ok(activity.changed().await),
        };
        if !matches!(changed, Ok(Ok(()))) {
            return;
        }
        limit = then;
    }
}

/// In the extensions of each request: while a clone lives, its connection is not quiet, also after the answer began. For
/// answers without an end, whose makers know when they have to.
#[derive(Clone)]
pub struct UnderWay {
    turn: Arc<Turn>,
    place: Handle,
}

impl UnderWay {
    /// The request showed a good credential of `person`: it is under way though its body is not read yet, and its
    /// connection has one of the places of those who are known.
    pub fn known(&self, person: &str) {
        self.turn.count();
        self.place.know(person);
    }
}

/// The body of a request, which is under way once this is read.
struct Reading {
    body: Incoming,
    turn: Weak<Turn>,
}

impl Reading {
    fn new(body: Incoming, turn: &Arc<Turn>) -> Self {
        if body.is_end_stream() {
            turn.count();
        }
        Self { body, turn: Arc::downgrade(turn) }
    }
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let ended = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        if ended && let Some(turn) = self.turn.upgrade() {
            turn.count();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

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

/// Counts a request as under way, from when that is said while it lives.
struct Turn {
    requests: watch::Sender<usize>,
    counted: AtomicBool,
}

impl Turn {
    fn new(requests: &watch::Sender<usize>) -> Self {
        Self { requests: requests.clone(), counted: AtomicBool::new(false) }
    }

    fn count(&self) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            self.requests.send_modify(|requests| *requests += 1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if *self.counted.get_mut() {
            self.requests.send_modify(|requests| *requests = requests.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const HOUR: Duration = Duration::from_secs(3_600);

    fn limits(strangers: usize, quiet: Duration) -> Limits {
        Limits { most: Most { strangers, known: 4, of_person: 4 }, first: quiet, quiet }
    }

    async fn server(strangers: usize, quiet: Duration) -> SocketAddr {
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
        let login = post(async |body: Bytes| format!("{} bytes", body.len()));
        let known = post(async |Extension(under_way): Extension<UnderWay>, body: Body| {
            under_way.known("bob");
            let body = axum::body::to_bytes(body, 100).await.unwrap();
            format!("{} bytes", body.len())
        });
        let router = Router::new()
            .route("/", get(|| async { "fine" }))
            .route("/slow", slow)
            .route("/events", events)
            .route("/login", login)
            .route("/known", known);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, limits(strangers, quiet), None));
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
        tokio::spawn(serve(listener, router, limits(1, Duration::from_millis(50)), None));
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
        tokio::spawn(serve(listener, Router::new().route("/", who), limits(9, HOUR), None));
        let mut stream = sent(address, GET).await;
        let own = stream.local_addr().unwrap();
        until(&mut stream, &format!("from {own}")).await;
    }

    #[tokio::test]
    async fn a_server_that_stops_ends_its_connections() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router, limits(10, HOUR), None));
        let mut stream = sent(address, GET).await;
        until(&mut stream, "fine").await;
        serving.abort();
        assert_eq!(all_of(stream).await, "");
    }

    const HALF_A_LOGIN: &[u8] = b"POST /login HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nn";

    #[tokio::test]
    async fn a_request_whose_body_does_not_come_is_not_under_way() {
        let address = server(10, Duration::from_millis(50)).await;
        assert!(!all_of(sent(address, HALF_A_LOGIN).await).await.contains("bytes"));
        let whole = b"POST /login HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nn";
        assert!(all_of(sent(address, whole).await).await.ends_with("1 bytes"));
    }

    #[tokio::test]
    async fn who_showed_a_credential_may_take_longer_to_send_a_body() {
        let address = server(1, Duration::from_millis(50)).await;
        let head = b"POST /known HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
        let mut stream = sent(address, head).await;
        // Longer than a connection may be quiet, with its last words.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        stream.write_all(b"xy").await.unwrap();
        assert!(all_of(stream).await.ends_with("2 bytes"));
    }

    #[tokio::test]
    async fn half_sent_logins_keep_nobody_out_also_from_the_same_address() {
        let address = server(4, HOUR).await;
        let mut flood = Vec::new();
        for _ in 0..40 {
            flood.push(sent(address, HALF_A_LOGIN).await);
        }
        let mut bob = sent(address, GET).await;
        until(&mut bob, "fine").await;
        let closed = flood.drain(..30).map(all_of);
        let said = futures_util::future::join_all(closed).await;
        assert!(said.iter().all(String::is_empty), "the oldest gave way: {said:?}");
    }

    #[tokio::test]
    async fn a_flood_does_not_close_what_showed_a_credential() {
        let address = server(2, HOUR).await;
        let mut bob = sent(address, b"POST /known HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").await;
        until(&mut bob, "1 bytes").await;
        let mut flood = Vec::new();
        for _ in 0..40 {
            flood.push(sent(address, GET).await);
        }
        bob.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(all_of(bob).await.ends_with("fine"));
    }
}

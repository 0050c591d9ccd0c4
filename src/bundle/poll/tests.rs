//! One request, by a server that says what it is told; `tests/e2e/bundle/poll.rs` has the whole.

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::bundle::control::testing::ports;
use crate::bundle::{Admission, Limits, Source, Trust};
use crate::policy;

#[test]
fn pauses_grow_with_failures_up_to_five_minutes_and_spread() {
    let seconds = |failures, spread| pause(Duration::from_secs(30), failures, spread).as_secs_f64();
    assert_eq!([seconds(0, 0.0), seconds(0, 1.0)], [30.0, 27.0]);
    assert_eq!([seconds(1, 0.0), seconds(2, 0.0), seconds(5, 0.0)], [1.0, 2.0, 16.0]);
    assert_eq!([seconds(3, 1.0), seconds(9, 0.0), seconds(40, 0.0)], [2.0, 256.0, 300.0]);
    assert!((0.0..1.0).contains(&spread()));
}

/// Answers each connection with the next of `answers`, and tells the lines of each request's head.
async fn serve<A: AsRef<[u8]> + Send + Sync + 'static>(
    answers: Vec<A>,
    tls: Option<TlsAcceptor>,
) -> (u16, mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let answered = match &tls {
                None => respond(stream, answer.as_ref()).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => respond(stream, answer.as_ref()).await,
                    Err(_) => vec!["no handshake".to_owned()],
                },
            };
            let _ = heads.send(answered);
        }
    });
    (port, received)
}

async fn respond(stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    stream.write_all(answer).await.unwrap();
    stream.shutdown().await.ok();
    head
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\netag: \"1\"\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

fn remote(url: String) -> Remote {
    Remote { url: url.parse().unwrap(), poll: Duration::from_secs(1), token_file: None, ca_file: None }
}

async fn fetch(remote: &Remote) -> Result<Fetched, FetchError> {
    Fetcher::new(remote).unwrap().fetch(None, 100).await
}

fn body(fetched: Result<Fetched, FetchError>) -> String {
    match fetched.unwrap() {
        Fetched::New { bytes, etag } => {
            assert_eq!(etag.unwrap(), "\"1\"");
            String::from_utf8(bytes).unwrap()
        }
        Fetched::NotModified => panic!("not asked with a tag"),
    }
}

#[tokio::test]
async fn the_tag_and_the_token_of_the_moment_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let not_modified = "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_owned();
    let (port, mut heads) = serve(vec![ok("one"), not_modified.clone(), not_modified], None).await;
    let remote = Remote { token_file: Some(token.clone()), ..remote(format!("http://127.0.0.1:{port}/b")) };
    let fetcher = Fetcher::new(&remote).unwrap();
    assert_eq!(fetcher.fetch(None, 100).await.unwrap_err().result(), PollResult::NoToken);
    std::fs::write(&token, " \n").unwrap();
    assert_eq!(fetcher.fetch(None, 100).await.unwrap_err().result(), PollResult::NoToken);
    std::fs::write(&token, "first\n").unwrap();
    assert_eq!(body(fetcher.fetch(None, 100).await), "one");
    std::fs::write(&token, "second").unwrap();
    let tag = HeaderValue::from_static("\"1\"");
    assert!(matches!(fetcher.fetch(Some(&tag), 100).await, Ok(Fetched::NotModified)));
    let (first, second) = (heads.recv().await.unwrap(), heads.recv().await.unwrap());
    assert!(first.contains(&"authorization: Bearer first".to_owned()), "{first:?}");
    assert!(!first.iter().any(|line| line.starts_with("if-none-match")), "{first:?}");
    assert!(second.contains(&"authorization: Bearer second".to_owned()), "{second:?}");
    assert!(second.contains(&"if-none-match: \"1\"".to_owned()), "{second:?}");
    // A 304 to whoever asked for everything is nonsense.
    let unasked = fetcher.fetch(None, 100).await.unwrap_err();
    assert_eq!(unasked.result(), PollResult::Status);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_server_only() {
    let (port, _heads) = serve(vec![moved("/c"), ok("there")], None).await;
    assert_eq!(body(fetch(&remote(format!("http://127.0.0.1:{port}/b"))).await), "there");
    let (elsewhere, mut asked) = serve(vec![ok("evil")], None).await;
    let (port, _heads) = serve(vec![moved(&format!("http://127.0.0.1:{elsewhere}/b"))], None).await;
    let away = fetch(&remote(format!("http://127.0.0.1:{port}/b"))).await.unwrap_err();
    assert_eq!(away.result(), PollResult::Redirected);
    assert!(asked.try_recv().is_err(), "nobody else was asked");
    let (port, _heads) = serve((0..9).map(|_| moved("/again")).collect(), None).await;
    let around = fetch(&remote(format!("http://127.0.0.1:{port}/b"))).await.unwrap_err();
    assert_eq!(around.result(), PollResult::Redirected);
}

#[tokio::test]
async fn sizes_are_counted_and_not_believed() {
    let get = async |answer: String| {
        let (port, _heads) = serve(vec![answer], None).await;
        fetch(&remote(format!("http://127.0.0.1:{port}/b"))).await
    };
    assert_eq!(body(get(ok(&"x".repeat(100))).await).len(), 100);
    assert_eq!(get(ok(&"x".repeat(101))).await.unwrap_err().result(), PollResult::TooLarge);
    let unsaid = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(101));
    assert_eq!(get(unsaid).await.unwrap_err().result(), PollResult::TooLarge);
    let short = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 50\r\n\r\nx".to_owned();
    assert_eq!(get(short).await.unwrap_err().result(), PollResult::Unreachable, "cut off");
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/b", listener.local_addr().unwrap());
    let fetcher = Fetcher::within(&remote(url), Duration::from_millis(200)).unwrap();
    assert_eq!(fetcher.fetch(None, 100).await.unwrap_err().result(), PollResult::Timeout);
}

#[tokio::test]
async fn only_the_named_certificates_are_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut urls, acceptor, trusted) =
        ([String::new(), String::new()], acceptor(&folder), folder.path().join("ca.pem"));
    for url in &mut urls {
        let (port, _heads) = serve(vec![ok("one")], Some(acceptor.clone())).await;
        *url = format!("https://localhost:{port}/b");
    }
    let [url, other] = urls;
    assert_eq!(body(fetch(&Remote { ca_file: Some(trusted.clone()), ..remote(url.clone()) }).await), "one");
    let untrusted = fetch(&remote(other)).await.unwrap_err();
    assert_eq!(untrusted.result(), PollResult::Unreachable, "{untrusted}");
    let refused = |text: &str| {
        std::fs::write(&trusted, text).unwrap();
        Fetcher::new(&Remote { ca_file: Some(trusted.clone()), ..remote(url.clone()) }).unwrap_err()
    };
    assert!(refused("").contains("ca.pem") && refused("").contains("there is none"));
    let missing = Remote { ca_file: Some(folder.path().join("none")), ..remote(url.clone()) };
    assert!(Fetcher::new(&missing).unwrap_err().contains("none"));
}

/// TLS as `localhost`, by a certificate that is left in `ca.pem`.
fn acceptor(folder: &TempDir) -> TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.pem"), certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let chain = vec![certified.cert.der().clone()];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

fn good_bundle() -> Vec<u8> {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [{name: r, allow: {}}]}\n";
    let file = policy::SourceFile { file: "p.yaml".into(), text: text.into() };
    let bytes =
        crate::bundle::Bundle::of_files(vec![file], vec![]).pack(&crate::bundle::tests::label()).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", bytes.len());
    [head.into_bytes(), bytes].concat()
}

#[tokio::test]
async fn the_query_of_the_url_is_in_no_log_list_metric_error_or_file() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::DEBUG);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let failed = "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned();
    let away = moved("http://127.0.0.1:1/else?sig=s3cr3t");
    let answers = vec![good_bundle(), ok("no archive").into_bytes(), failed.into_bytes(), away.into_bytes()];
    let (port, _heads) = serve(answers, None).await;
    let url = format!("http://127.0.0.1:{port}/shop.tgz?sig=s3cr3t#s3cr3t");
    let remote = Remote { poll: Duration::from_millis(10), ..remote(url) };
    let folder = tempfile::tempdir().unwrap();
    let ports = ports(folder.path()).await;
    let (limits, options) = (Limits::default(), policy::Options::default());
    let admission = Admission { trust: Trust::none(), limits, options };
    let location = Source::Url(remote.clone()).to_string();
    let control = Control::start(ports.clone(), admission, &location, None).await.unwrap();
    let following = tokio::spawn(follow(control.clone(), Fetcher::new(&remote).unwrap()));
    let mut said = Vec::new();
    // The last is that nobody listens any more.
    for what in ["status is 500", "leads to another server", "the request failed"] {
        loop {
            let error = control.list().await.unwrap().source.error.unwrap_or_default();
            if error.contains(what) {
                said.push(error);
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    following.abort();
    let (listing, history) = (control.list().await.unwrap(), control.history(10, None).await.unwrap());
    let shown = format!("http://127.0.0.1:{port}/shop.tgz?...");
    assert_eq!(
        (&*listing.source.location, listing.active.as_ref().unwrap().source.as_str()),
        (&*shown, &*shown)
    );
    assert_eq!(&*listing.refused.as_ref().unwrap().source, shown);
    assert!(history.len() == 2 && history.iter().all(|event| event.event.source == shown), "{history:?}");
    let logged = log.text();
    for line in ["can't fetch the bundle", "policies were not taken"] {
        assert!(
            logged.lines().any(|logged| logged.contains(line) && logged.contains(&shown)),
            "{line}: {logged}"
        );
    }
    ports.store.close().await;
    let files =
        std::fs::read_dir(folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let files = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect::<String>();
    let all = format!("{said:?} {listing:?} {history:?} {} {files}", ports.metrics.render());
    assert!(!all.contains("s3cr3t"), "{all}");
    let ours = |line: &&str| line.contains("portcullis") && line.contains("s3cr3t");
    assert_eq!(logged.lines().find(ours), None);
}

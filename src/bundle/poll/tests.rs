//! One request, by a server that says what it is told; `tests/e2e/bundle/poll.rs` has the whole.

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

#[test]
fn pauses_grow_with_failures_up_to_five_minutes_and_spread() {
    let seconds = |failures, spread| pause(Duration::from_secs(30), failures, spread).as_secs_f64();
    assert_eq!([seconds(0, 0.0), seconds(0, 1.0)], [30.0, 27.0]);
    assert_eq!([seconds(1, 0.0), seconds(2, 0.0), seconds(5, 0.0)], [1.0, 2.0, 16.0]);
    assert_eq!([seconds(3, 1.0), seconds(9, 0.0), seconds(40, 0.0)], [2.0, 256.0, 300.0]);
    assert!((0.0..1.0).contains(&spread()));
}

/// Answers each connection with the next of `answers`, and tells the lines of each request's head.
async fn serve(
    answers: Vec<String>,
    tls: Option<TlsAcceptor>,
) -> (u16, mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let answered = match &tls {
                None => respond(stream, &answer).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => respond(stream, &answer).await,
                    Err(_) => vec!["no handshake".to_owned()],
                },
            };
            let _ = heads.send(answered);
        }
    });
    (port, received)
}

async fn respond(stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> Vec<String> {
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
    stream.write_all(answer.as_bytes()).await.unwrap();
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

//! A service that is asked about tokens, as tests want it: it answers, lies, hangs, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::authn::config::{CacheConfig, CalloutConfig};
use crate::clock::Clock;

pub const NOW: i64 = 1_800_000_000;

/// What the service does next.
#[derive(Clone)]
pub enum Behaviour {
    Json(Value),
    Text(String),
    /// A status, its `retry-after` if it has one, and a body.
    Status(u16, Option<&'static str>, String),
    Redirect,
    Endless,
    Silent,
    /// The answer to each body.
    Each(Arc<dyn Fn(&str) -> Value + Send + Sync>),
}

/// What the service was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone)]
pub struct Service {
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Requests wait while it is closed.
    gate: watch::Sender<bool>,
    /// Requests now, and the most at a time so far.
    under_way: Arc<Mutex<(usize, usize)>>,
}

impl Service {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            asked: Arc::default(),
            gate: watch::channel(true).0,
            under_way: Arc::default(),
        };
        let shared = service.clone();
        let answer = move |uri: Uri, headers: HeaderMap, body: String| async move {
            shared.answer(Asked { path: uri.to_string(), headers, body }).await
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    pub fn open(&self, open: bool) {
        self.gate.send_replace(open);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.asked.lock().len()
    }

    pub fn most_at_a_time(&self) -> usize {
        self.under_way.lock().1
    }

    /// Until so many requests came.
    pub async fn was_asked(&self, times: usize) {
        for _ in 0..2_000 {
            if self.count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} requests instead of {times}", self.count());
    }

    async fn answer(self, asked: Asked) -> Response {
        let body = asked.body.clone();
        let _guard = UnderWay::enter(&self.under_way);
        self.asked.lock().push(asked);
        self.gate.subscribe().wait_for(|open| *open).await.unwrap();
        let behaviour = self.behaviour.lock().clone();
        match behaviour {
            Behaviour::Json(value) => axum::Json(value).into_response(),
            Behaviour::Each(answer) => axum::Json(answer(&body)).into_response(),
            Behaviour::Text(text) => text.into_response(),
            Behaviour::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/other")]).into_response(),
            Behaviour::Silent => std::future::pending().await,
            Behaviour::Status(code, retry_after, text) => {
                let mut response = (StatusCode::from_u16(code).unwrap(), text).into_response();
                if let Some(value) = retry_after {
                    response.headers_mut().insert("retry-after", value.parse().unwrap());
                }
                response
            }
            Behaviour::Endless => {
                let chunk = || Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 16 << 10]));
                Body::from_stream(futures_util::stream::repeat_with(chunk)).into_response()
            }
        }
    }
}

struct UnderWay(Arc<Mutex<(usize, usize)>>);

impl UnderWay {
    fn enter(counts: &Arc<Mutex<(usize, usize)>>) -> Self {
        let mut locked = counts.lock();
        locked.0 += 1;
        locked.1 = locked.1.max(locked.0);
        Self(counts.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().0 -= 1;
    }
}

pub fn callout(url: &str) -> CalloutConfig {
    CalloutConfig {
        url: url.parse().unwrap(),
        ca_file: None,
        timeout: Duration::from_secs(5),
        concurrency: 64,
        cache: CacheConfig::default(),
    }
}

pub fn clock() -> Clock {
    Clock::fixed(Timestamp::from_second(NOW).unwrap())
}

/// An address where nobody listens.
pub async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Everything that is logged by this thread until the guard goes, at every level.
pub fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Writer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let text = Arc::new(Mutex::default());
    let writer = Writer(text.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (text, tracing::subscriber::set_default(subscriber))
}

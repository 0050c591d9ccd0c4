//! A server of bundles that answers as it is told.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use portcullis_sample::address;
use portcullis_sample::serving::Serving;

#[derive(Clone, Debug)]
pub enum Answer {
    /// With an `ETag`; 304 to whoever has it.
    Bundle(Vec<u8>),
    Status(u16),
    /// Never ends, and says no length.
    Endless,
    Redirect(String),
}

#[derive(Debug)]
struct Script {
    answer: Answer,
    /// How each request was answered.
    answered: Vec<u16>,
    /// The `authorization` of each request.
    tokens: Vec<String>,
}

#[derive(Debug)]
pub struct Server {
    serving: Serving,
    script: Arc<Mutex<Script>>,
}

impl Server {
    pub async fn start(answer: Answer) -> Self {
        let script = Arc::new(Mutex::new(Script { answer, answered: Vec::new(), tokens: Vec::new() }));
        let router = Router::new().fallback(respond).with_state(script.clone());
        let serving = Serving::start("bundles", address::ANY, router).await.unwrap();
        Self { serving, script }
    }

    pub fn url(&self) -> String {
        format!("http://{}/shop.tar.gz", self.serving.address())
    }

    pub fn answer(&self, answer: Answer) {
        self.script.lock().answer = answer;
    }

    /// Waits until one more request was answered so.
    pub async fn answered(&self, status: u16) {
        let count = || self.script.lock().answered.iter().filter(|answered| **answered == status).count();
        let before = count();
        for _ in 0..800 {
            if count() > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no more answers {status}");
    }

    pub fn tokens(&self) -> Vec<String> {
        self.script.lock().tokens.clone()
    }
}

async fn respond(State(script): State<Arc<Mutex<Script>>>, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let answer = {
        let mut script = script.lock();
        script.tokens.push(text(header::AUTHORIZATION));
        script.answer.clone()
    };
    let response = match answer {
        Answer::Bundle(bytes) => {
            let etag =
                format!("\"{}-{}\"", bytes.len(), bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            match text(header::IF_NONE_MATCH) == etag {
                true => StatusCode::NOT_MODIFIED.into_response(),
                false => ([(header::ETAG, etag)], bytes).into_response(),
            }
        }
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Endless => {
            let chunk = || Some((Ok::<_, std::io::Error>(vec![0_u8; 1 << 16]), ()));
            Body::from_stream(futures_util::stream::unfold((), move |()| async move { chunk() }))
                .into_response()
        }
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    };
    script.lock().answered.push(response.status().as_u16());
    response
}

//! Answers that a test dictates to the byte: status, headers, body chunks with pauses, trailers, a broken end.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

/// One answer, given again and again. Nothing is added to it but what HTTP demands: `transfer-encoding` or, for an
/// answer of one chunk and no trailers, `content-length`; and the date.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    frames: Vec<Step>,
    complete: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Chunk(Bytes),
    Trailers(HeaderMap),
    Pause(Duration),
}

impl Answer {
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), frames: Vec::new(), complete: true }
    }

    /// 200, `application/json`, and `body` in one chunk.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK).header("content-type", "application/json").chunk(body)
    }

    /// Adds a header; a repeated name makes a repeated header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds bytes that are written to the connection together.
    pub fn chunk(mut self, bytes: impl Into<Bytes>) -> Self {
        self.frames.push(Step::Chunk(bytes.into()));
        self
    }

    /// Adds `body` in chunks of `size` bytes.
    pub fn chunks_of(mut self, size: usize, body: impl Into<Bytes>) -> Self {
        let mut rest: Bytes = body.into();
        while !rest.is_empty() {
            let chunk = rest.split_to(size.clamp(1, rest.len()));
            self.frames.push(Step::Chunk(chunk));
        }
        self
    }

    /// Nothing is sent for a while.
    pub fn pause(mut self, time: Duration) -> Self {
        self.frames.push(Step::Pause(time));
        self
    }

    /// A trailer after the body; Envoy has to speak HTTP/2 to the upstream, or the caller has to send `te: trailers`.
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        let mut trailers = match self.frames.pop() {
            Some(Step::Trailers(trailers)) => trailers,
            Some(other) => {
                self.frames.push(other);
                HeaderMap::new()
            }
            None => HeaderMap::new(),
        };
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            trailers.append(HeaderName::from_static(name), value);
        }
        self.frames.push(Step::Trailers(trailers));
        self
    }

    /// The connection breaks where the body should have ended.
    pub fn broken(mut self) -> Self {
        self.complete = false;
        self
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    fn body(&self) -> Body {
        match self.frames.as_slice() {
            [] if self.complete => Body::empty(),
            [Step::Chunk(chunk)] if self.complete => Body::from(chunk.clone()),
            _ => self.streamed_body(),
        }
    }

    fn streamed_body(&self) -> Body {
        let mut steps = self.frames.clone();
        if !self.complete {
            // An error drops what was not flushed yet; this gives it the time.
            steps.push(Step::Pause(Duration::from_millis(20)));
        }
        let frames = stream::iter(steps).filter_map(async |step| match step {
            Step::Chunk(chunk) => Some(Ok(Frame::data(chunk))),
            Step::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Step::Pause(time) => {
                tokio::time::sleep(time).await;
                None
            }
        });
        let broken = (!self.complete).then(|| Err(io::Error::other("broken off as dictated")));
        Body::new(StreamBody::new(Box::pin(frames.chain(stream::iter(broken)))))
    }
}

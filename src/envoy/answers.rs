//! The sending half of an ext_proc stream, which can't end well by accident.
//!
//! The session runs inside the stream that tonic polls: no task and no wake-up of its own for each call. tonic ends
//! a dropped response stream with status OK, and Envoy then lets the rest of the body through unmasked. So this
//! stream ends with OK only when its session says so. When the session is cut off, or ends without a word, the call
//! is refused first, and then the stream ends with an error status: the status alone would obey
//! `failure_mode_allow`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingResponse;
use futures_util::Stream;
use parking_lot::Mutex;
use tonic::Status;

use super::ext_proc::encode;
use crate::lifecycle::CallGuard;

/// The session's side.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<VecDeque<ProcessingResponse>>>);

/// A call's session, from its first message to its last.
pub(super) type Session = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// tonic's side.
pub struct AnswerStream {
    answers: Answers,
    phase: Phase,
    guard: CallGuard,
}

enum Phase {
    Open(Session),
    /// What the session ended with is still owed, after the answers that it left.
    Ending(Result<(), Status>),
    Ended,
}

impl Answers {
    /// Sends one answer: completes once tonic has taken it, so that a slow proxy slows its session.
    pub async fn send(&self, answer: ProcessingResponse) {
        self.send_now(answer);
        // The stream polls the session again after each answer that it hands out: nobody else need wake it.
        std::future::poll_fn(|_| if self.0.lock().is_empty() { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    /// Sends one answer without waiting.
    pub fn send_now(&self, answer: ProcessingResponse) {
        self.0.lock().push_back(answer);
    }

    fn next(&self) -> Option<ProcessingResponse> {
        self.0.lock().pop_front()
    }
}

impl AnswerStream {
    /// The answers that `session` sends, until it ends or `guard` cuts it off.
    pub(super) fn new(answers: Answers, session: Session, guard: CallGuard) -> Self {
        Self { answers, phase: Phase::Open(session), guard }
    }
}

impl Stream for AnswerStream {
    type Item = Result<ProcessingResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Phase::Open(session) = &mut this.phase {
            if let Some(answer) = this.answers.next() {
                return Poll::Ready(Some(Ok(answer)));
            }
            if let Poll::Ready(result) = session.as_mut().poll(context) {
                this.phase = Phase::Ending(result);
            } else if this.guard.poll_cut_off(context).is_ready() {
                this.answers.send_now(encode::internal_error());
                this.phase = Phase::Ending(Err(Status::internal("the session was cut off")));
            }
        }
        match (this.answers.next(), &mut this.phase) {
            (Some(answer), _) => Poll::Ready(Some(Ok(answer))),
            (None, Phase::Open(_)) => Poll::Pending,
            (None, ended) => {
                let result = match std::mem::replace(ended, Phase::Ended) {
                    Phase::Ending(result) => result,
                    _ => Ok(()),
                };
                Poll::Ready(result.err().map(Err))
            }
        }
    }
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerStream")
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;
    use futures_util::StreamExt;

    use super::*;
    use crate::lifecycle::Lifecycle;

    fn stream(lifecycle: &Lifecycle, session: impl FnOnce(Answers) -> Session) -> (Answers, AnswerStream) {
        let answers = Answers::default();
        (answers.clone(), AnswerStream::new(answers.clone(), session(answers), lifecycle.call()))
    }

    #[tokio::test]
    async fn only_a_session_that_ends_well_ends_with_ok() {
        let lifecycle = Lifecycle::new();
        let (_, mut ends) = stream(&lifecycle, |answers| {
            Box::pin(async move {
                answers.send_now(ProcessingResponse::default());
                answers.send(ProcessingResponse::default()).await;
                Ok(())
            })
        });
        assert!(ends.next().await.unwrap().is_ok());
        assert!(ends.next().await.unwrap().is_ok());
        assert!(ends.next().await.is_none());
        assert!(ends.next().await.is_none());

        let (_, mut fails) = stream(&lifecycle, |answers| {
            Box::pin(async move {
                answers.send_now(ProcessingResponse::default());
                Err(Status::aborted("x"))
            })
        });
        assert!(fails.next().await.unwrap().is_ok());
        assert_eq!(fails.next().await.unwrap().unwrap_err().code(), tonic::Code::Aborted);
        assert!(fails.next().await.is_none());
    }

    #[tokio::test]
    async fn a_session_that_is_cut_off_is_refused_and_then_an_error() {
        let lifecycle = Lifecycle::new();
        let (_, mut cut_off) = stream(&lifecycle, |_| Box::pin(std::future::pending()));
        assert!(futures_util::poll!(cut_off.next()).is_pending());
        lifecycle.drain();
        lifecycle.cut_off();
        assert!(refuses(&cut_off.next().await.unwrap().unwrap()));
        assert_eq!(cut_off.next().await.unwrap().unwrap_err().code(), tonic::Code::Internal);
        assert!(cut_off.next().await.is_none());
    }

    /// One answer at a time: what tonic has not taken holds the session back.
    #[tokio::test]
    async fn a_slow_proxy_slows_its_session() {
        let lifecycle = Lifecycle::new();
        let (answers, mut slow) = stream(&lifecycle, |answers| {
            Box::pin(async move {
                for _ in 0..3 {
                    answers.send(ProcessingResponse::default()).await;
                }
                Ok(())
            })
        });
        for _ in 0..3 {
            assert!(slow.next().await.unwrap().is_ok());
            assert_eq!(answers.0.lock().len(), 0);
        }
        assert!(slow.next().await.is_none());
    }

    fn refuses(answer: &ProcessingResponse) -> bool {
        matches!(&answer.response, Some(Response::ImmediateResponse(_)))
    }
}

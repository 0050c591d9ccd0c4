//! The sending half of an ext_proc stream, which can't end well by accident.
//!
//! tonic ends a dropped response stream with status OK, and Envoy then lets the rest of the body through
//! unmasked. So this stream ends with OK only when its session says so. When its sender just goes away (a cancelled
//! task, a forgotten path) it refuses the call first, and then ends with an error status: the status alone would
//! obey `failure_mode_allow`.

use std::pin::Pin;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingResponse;
use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::Status;

use super::ext_proc::encode;

/// What the session sends.
enum Item {
    Answer(Box<ProcessingResponse>),
    End(Result<(), Status>),
}

/// The session's side.
#[derive(Debug, Clone)]
pub(super) struct Answers(mpsc::Sender<Item>);

/// tonic's side.
#[derive(Debug)]
pub struct AnswerStream {
    items: mpsc::Receiver<Item>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The sender went away, and the call was refused; the status is still owed.
    Refused,
    Ended,
}

/// Answers that may wait for Envoy: one per message, and a timeout override before it.
const QUEUE: usize = 4;

pub(super) fn channel() -> (Answers, AnswerStream) {
    let (sender, items) = mpsc::channel(QUEUE);
    (Answers(sender), AnswerStream { items, phase: Phase::Open })
}

impl Answers {
    /// Sends one answer; an error means that Envoy is gone.
    pub async fn send(&self, answer: ProcessingResponse) -> Result<(), Status> {
        let gone = |_| Status::cancelled("the proxy ended the stream");
        self.0.send(Item::Answer(Box::new(answer))).await.map_err(gone)
    }

    /// Sends one answer without waiting; used where the queue has room by design.
    pub fn send_now(&self, answer: ProcessingResponse) {
        self.0.try_send(Item::Answer(Box::new(answer))).ok();
    }

    /// Ends the stream, with OK only for `Ok`.
    pub async fn end(self, result: Result<(), Status>) {
        self.0.send(Item::End(result)).await.ok();
    }
}

impl Stream for AnswerStream {
    type Item = Result<ProcessingResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.phase {
            Phase::Open => {}
            Phase::Refused => {
                self.phase = Phase::Ended;
                let status = Status::internal("the session ended without an answer");
                return Poll::Ready(Some(Err(status)));
            }
            Phase::Ended => return Poll::Ready(None),
        }
        let item = std::task::ready!(self.items.poll_recv(context));
        Poll::Ready(match item {
            Some(Item::Answer(answer)) => Some(Ok(*answer)),
            Some(Item::End(result)) => {
                self.phase = Phase::Ended;
                result.err().map(Err)
            }
            None => {
                self.phase = Phase::Refused;
                Some(Ok(encode::internal_error()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;

    #[tokio::test]
    async fn a_dropped_sender_is_an_error_and_only_a_clean_end_is_ok() {
        let (answers, mut stream) = channel();
        answers.send(ProcessingResponse::default()).await.unwrap();
        drop(answers);
        assert!(stream.next().await.unwrap().is_ok());
        assert!(refuses(&stream.next().await.unwrap().unwrap()));
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), tonic::Code::Internal);
        assert!(stream.next().await.is_none());

        let (answers, mut stream) = channel();
        answers.end(Ok(())).await;
        assert!(stream.next().await.is_none());

        let (answers, mut stream) = channel();
        answers.end(Err(Status::aborted("x"))).await;
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), tonic::Code::Aborted);
    }

    #[tokio::test]
    async fn a_panicking_session_is_an_error() {
        let (answers, mut stream) = channel();
        let session = tokio::spawn(async move {
            let _answers = answers;
            panic!("on purpose");
        });
        assert!(refuses(&stream.next().await.unwrap().unwrap()));
        assert!(stream.next().await.unwrap().is_err());
        assert!(session.await.unwrap_err().is_panic());
    }

    fn refuses(answer: &ProcessingResponse) -> bool {
        matches!(&answer.response, Some(Response::ImmediateResponse(_)))
    }
}

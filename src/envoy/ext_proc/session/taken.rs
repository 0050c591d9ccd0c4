//! A call that ext_authz decided: what it asks for is done here, and nothing is decided again.

use tonic::Status;

use super::Session;
use crate::engine::{Listener, Taken};
use crate::envoy::mutation::mutation;
use crate::request::Request;
use crate::verdict::Answer;

impl Session {
    /// Answers a call whose Check `sealed` what to do, or that had to come with one. Gives back a call that is to be
    /// decided here.
    pub(super) async fn take_over(
        &mut self,
        request: Request,
        sealed: Option<String>,
        listener: Listener,
    ) -> Result<Option<Request>, Status> {
        if sealed.is_none() && !self.expects_check {
            return Ok(Some(request));
        }
        let engine = self.service.engine.clone();
        match engine.take_over(request, sealed.as_deref(), self.expects_check, listener).await {
            Taken::Afresh(request) => return Ok(Some(*request)),
            Taken::Over { changes, response } => {
                let wishes = response.as_ref().map(|phase| engine.wishes(phase));
                let to_request = mutation(&wishes.unwrap_or_default());
                (self.phase, self.changes) = (response.map(|phase| *phase), changes);
                self.go_on(to_request).await?;
            }
            Taken::Refused(verdict) => match &verdict.answer {
                Answer::Deny(denial) => self.refuse(denial, verdict.reason, &verdict.decision_id).await?,
                Answer::Allow(_) => return Err(Status::internal("a refusal that allows")),
            },
        }
        Ok(None)
    }
}

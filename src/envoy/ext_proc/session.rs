//! One call's stream: takes each message in its order and sends exactly one answer of its type.

use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
use envoy_types::pb::envoy::service::ext_proc::v3::{HttpBody, ProcessingRequest};
use tonic::{Status, Streaming};

use super::ExtProc;
use super::encode::{self, Half, Modes};
use super::order::{Event, Order};
use crate::clock;
use crate::effect::{HeaderChange, HeaderChanges};
use crate::engine::{Call, Checked, Listener, MaskedResponse, Patience, ResponsePhase};
use crate::envoy::answers::Answers;
use crate::envoy::decode;
use crate::envoy::grpc_status::for_grpc;
use crate::envoy::handover;
use crate::envoy::mutation::{Mutation, mutation};
use crate::metrics::Service;
use crate::policy::MaskedParts;
use crate::reason::Reason;
use crate::request::{Body, Request};
use crate::verdict::{Answer, Denial, Permit};

mod response;
mod taken;

/// How long a stream may stay silent before its first message: idle streams must not pile up, nor delay a drain.
const FIRST_MESSAGE: Duration = Duration::from_secs(5);

pub(super) struct Session {
    service: ExtProc,
    inbound: Streaming<ProcessingRequest>,
    answers: Answers,
    order: Order,
    modes: Modes,
    /// Whether calls come past ext_authz, which decides for both.
    expects_check: bool,
    /// Whether the caller speaks gRPC.
    grpc: bool,
    /// A call whose verdict waits for its body.
    waiting: Option<Box<Call>>,
    /// Response headers to change.
    changes: Vec<HeaderChange>,
    /// An allowed call whose response may be masked.
    phase: Option<ResponsePhase>,
    /// A response that is being masked.
    masked: Option<MaskedResponse>,
}

impl Session {
    /// `expects_check`: calls come past ext_authz, which decides for both.
    pub fn new(
        service: ExtProc,
        inbound: Streaming<ProcessingRequest>,
        answers: Answers,
        expects_check: bool,
    ) -> Self {
        Self {
            service,
            inbound,
            answers,
            order: Order::default(),
            modes: Modes::of(None, false),
            expects_check,
            grpc: false,
            waiting: None,
            changes: Vec::new(),
            phase: None,
            masked: None,
        }
    }

    /// Answers messages until the proxy ends the stream. Every other end is an error status.
    pub async fn run(&mut self) -> Result<(), Status> {
        // A proxy opens a stream because it has something to say.
        let first = tokio::time::timeout(FIRST_MESSAGE, self.inbound.message()).await;
        let mut next = first.map_err(|_| Status::deadline_exceeded("the stream said nothing"))??;
        while let Some(message) = next {
            self.service.engine.metrics().grpc_received(Service::ExtProc);
            if message.observability_mode {
                return Err(Status::failed_precondition(
                    "observability_mode ignores answers: nothing is enforced",
                ));
            }
            self.answer(message).await?;
            next = self.next().await?;
        }
        if self.order.may_end() && self.waiting.is_none() {
            Ok(())
        } else {
            Err(Status::cancelled("the stream ended early"))
        }
    }

    /// The proxy's next message. The stream ends instead when the caller of a response that may be masked is revoked, or
    /// when a body that is being masked takes too long.
    async fn next(&mut self) -> Result<Option<ProcessingRequest>, Status> {
        let Some(phase) = &self.phase else { return self.inbound.message().await };
        // A buffered body is not here yet.
        let masked = self.masked.as_ref().filter(|_| self.modes.masking() != BodySendMode::Buffered);
        let due = masked.and_then(|masked| masked.due(clock::instant()));
        let late = async {
            match due {
                Some((until, code)) => {
                    tokio::time::sleep_until(until.into()).await;
                    code
                }
                None => std::future::pending().await,
            }
        };
        let late = tokio::select! {
            // What came at the same time is not answered any more.
            biased;
            () = self.service.engine.revoked(phase) => None,
            code = late => Some(code),
            message = self.inbound.message() => return message,
        };
        let Some(code) = late else {
            self.block("revoked", Reason::Revoked).await?;
            return Err(Status::permission_denied("the caller's credential was revoked"));
        };
        self.block(code, Reason::Unmaskable).await?;
        Err(Status::deadline_exceeded("the response took too long"))
    }

    /// Denies a call whose session failed. Once response headers are out, Envoy answers this by resetting the
    /// caller's stream.
    pub fn refuse_failed(&mut self) {
        if self.order.is_closed() {
            return;
        }
        self.order.close();
        self.answers.send_now(encode::internal_error());
    }

    /// The status of a session that panicked; a response that was on its way is counted as blocked.
    pub fn panicked(&mut self) -> Status {
        if let Some(phase) = self.phase.take() {
            self.service.engine.response_blocked(&phase, "internal_error");
        }
        Status::internal("internal error")
    }

    async fn answer(&mut self, message: ProcessingRequest) -> Result<(), Status> {
        let ProcessingRequest { request, attributes, metadata_context, protocol_config, .. } = message;
        let message = request.ok_or_else(|| Status::invalid_argument("a message without content"))?;
        if self.modes.response_is_full_duplex() && self.order.is_closed() {
            // It was under way when the call was refused: in this mode nobody waits for answers.
            return Ok(());
        }
        let repeated = self.order.response_is_over();
        self.order
            .accept(event(&message))
            .map_err(|illegal| Status::failed_precondition(illegal.to_string()))?;
        match message {
            Message::RequestHeaders(headers) => {
                self.modes = Modes::of(protocol_config, self.service.full_duplex);
                let mut parts = decode::request_headers(
                    headers.headers,
                    headers.end_of_stream,
                    attributes,
                    metadata_context,
                );
                let sealed = handover::take(&mut parts);
                let request = Request::assemble(parts, self.service.engine.limits());
                self.grpc = request.is_grpc();
                self.request_headers(request, sealed).await
            }
            Message::RequestBody(body) => self.request_body(body).await,
            Message::RequestTrailers(_) => match self.waiting.take() {
                Some(call) => self.without_body(call).await,
                None => self.send(encode::trailers(Half::Request, Mutation::default())).await,
            },
            Message::ResponseHeaders(headers) => self.response_headers(headers).await,
            Message::ResponseBody(_) if repeated && self.modes.response_is_full_duplex() => Ok(()),
            Message::ResponseBody(body) => self.response_body(body).await,
            Message::ResponseTrailers(trailers) => self.response_trailers(trailers).await,
        }
    }

    // === the request ===

    async fn request_headers(&mut self, request: Request, sealed: Option<String>) -> Result<(), Status> {
        let listener = Listener {
            service: Service::ExtProc,
            gateway: self.service.gateway,
            masks: self.modes.can_mask(),
            hands_over: false,
        };
        let Some(request) = self.take_over(request, sealed, listener).await? else { return Ok(()) };
        let has_body = request.body.complete().is_none();
        let call = self.service.engine.receive(request, listener);
        let needs = call.needs();
        let will_see_body =
            matches!(self.modes.request, BodySendMode::Buffered | BodySendMode::BufferedPartial);
        if needs.body && has_body && will_see_body && call.defect().is_none() {
            return self.wait_for_body(call).await;
        }
        let checked = self.check(call).await?;
        let Some(changes) = self.permit(checked).await? else { return Ok(()) };
        self.go_on(changes).await
    }

    /// Lets the call go on, with what its response will need.
    async fn go_on(&mut self, changes: Mutation) -> Result<(), Status> {
        let mode = match (&self.phase, self.changes.is_empty()) {
            (Some(phase), _) => Some(self.modes.with_masks(phase.parts())),
            (None, false) => Some(self.modes.with_response(BodySendMode::None)),
            (None, true) => self.modes.without_response(),
        };
        self.send(encode::headers(Half::Request, changes, mode)).await
    }

    /// Lets the headers go no further than Envoy's buffer, and says now what the response will need: an answer to a
    /// later message can't.
    async fn wait_for_body(&mut self, mut call: Box<Call>) -> Result<(), Status> {
        let mut changes = Mutation::default();
        let mode = if call.needs().may_mask {
            changes = mutation(&self.service.engine.wishes_of_call(&call));
            // A call that is held is released by the policies of then, which may mask other parts.
            let all = MaskedParts { body: true, trailers: true };
            self.modes.with_masks(if call.needs().may_hold { all } else { call.needs().masked })
        } else {
            call.forgo_masks();
            self.modes.with_response(BodySendMode::None)
        };
        self.waiting = Some(call);
        let mode = ProcessingMode {
            // Trailers can come in the body's place, and would take the call past its verdict.
            request_trailer_mode: HeaderSendMode::Send.into(),
            ..mode
        };
        self.send(encode::headers(Half::Request, changes, Some(mode))).await
    }

    async fn request_body(&mut self, body: HttpBody) -> Result<(), Status> {
        let Some(mut call) = self.waiting.take() else {
            // The verdict did not need it.
            return self.send(encode::body(Half::Request, Mutation::default(), None)).await;
        };
        let cut_off = self.modes.request == BodySendMode::BufferedPartial && !body.end_of_stream;
        let body = if cut_off { Body::Partial } else { Body::Complete(body.body.into()) };
        call.set_body(body, self.service.engine.limits());
        let checked = self.check(call).await?;
        let Some(changes) = self.permit(checked).await? else { return Ok(()) };
        self.send(encode::body(Half::Request, changes, None)).await
    }

    /// Refuses a call whose verdict waited for a body that never came.
    async fn without_body(&mut self, call: Box<Call>) -> Result<(), Status> {
        let checked = self.check(call).await?;
        match self.permit(checked).await? {
            None => Ok(()),
            Some(_) => Err(Status::failed_precondition("the body was left out")),
        }
    }

    /// The engine's verdict; the wait ends when the proxy ends the stream because the caller is gone.
    async fn check(&mut self, call: Box<Call>) -> Result<Checked, Status> {
        let longest = self.service.max_message_timeout;
        let answers = self.answers.clone();
        let patience = Patience {
            until: clock::instant().checked_add(longest),
            announce: Some(Box::new(move |wait| {
                let slack = Duration::from_secs(1);
                answers.send_now(encode::wait(wait.saturating_add(slack).min(longest)));
            })),
        };
        tokio::select! {
            checked = self.service.engine.check(call, patience) => Ok(checked),
            message = self.inbound.message() => Err(match message {
                Ok(None) => Status::cancelled("the caller is gone"),
                Ok(Some(_)) => Status::failed_precondition("a message came before the answer to the last one"),
                Err(status) => status,
            }),
        }
    }

    /// The changes to the request of a call that goes on. A refused call is answered here, and gives `None`.
    async fn permit(&mut self, checked: Checked) -> Result<Option<Mutation>, Status> {
        let Checked { verdict, response } = checked;
        match verdict.answer {
            Answer::Allow(Permit { changes: HeaderChanges { request, response: changes }, path, .. }) => {
                let mut to_request = mutation(&request);
                if let Some(path) = path {
                    to_request.set(":path", &path);
                }
                if let Some(phase) = &response {
                    to_request.add(mutation(&self.service.engine.wishes(phase)));
                }
                self.phase = response;
                self.changes = changes;
                Ok(Some(to_request))
            }
            Answer::Deny(denial) => {
                self.refuse(&denial, verdict.reason, &verdict.decision_id).await?;
                Ok(None)
            }
        }
    }

    async fn refuse(&mut self, denial: &Denial, reason: Reason, decision_id: &str) -> Result<(), Status> {
        self.order.close();
        let in_grpc = self.grpc.then(|| for_grpc(denial, reason, decision_id));
        self.send(encode::immediate(in_grpc.as_ref().unwrap_or(denial), reason)).await
    }

    async fn send(
        &mut self,
        answer: envoy_types::pb::envoy::service::ext_proc::v3::ProcessingResponse,
    ) -> Result<(), Status> {
        self.answers.send(answer).await;
        self.service.engine.metrics().grpc_sent(Service::ExtProc);
        Ok(())
    }
}

fn event(message: &Message) -> Event {
    match message {
        Message::RequestHeaders(headers) => Event::RequestHeaders { last: headers.end_of_stream },
        Message::RequestBody(body) => Event::RequestBody { last: body.end_of_stream },
        Message::RequestTrailers(_) => Event::RequestTrailers,
        Message::ResponseHeaders(headers) => Event::ResponseHeaders { last: headers.end_of_stream },
        Message::ResponseBody(body) => {
            Event::ResponseBody { last: body.end_of_stream, empty: body.body.is_empty() }
        }
        Message::ResponseTrailers(_) => Event::ResponseTrailers,
    }
}

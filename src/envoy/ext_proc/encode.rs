//! Answers in ext_proc's words: exactly one, of the message's own type, for each message.

use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::service::ext_proc::v3::body_mutation::Mutation as BodyChange;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, ImmediateResponse,
    ProcessingResponse, ProtocolConfiguration, StreamedBodyResponse, TrailersResponse,
};

use crate::envoy::mutation::{Mutation, denial_headers, status};
use crate::policy::MaskedParts;
use crate::reason::Reason;
use crate::verdict::{Answer, Denial, Verdict};

/// The body modes that the filter is configured with, as its first message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes {
    pub request: BodySendMode,
    pub response: BodySendMode,
    /// Whether responses are to be masked in FULL_DUPLEX_STREAMED mode, where the filter leaves it to us.
    pub full_duplex: bool,
}

impl Modes {
    /// Without a `protocol_config` (before Envoy 1.34) no body is counted on.
    pub fn of(config: Option<ProtocolConfiguration>, full_duplex: bool) -> Self {
        let config = config.unwrap_or_default();
        Self {
            request: BodySendMode::try_from(config.request_body_mode).unwrap_or(BodySendMode::None),
            response: BodySendMode::try_from(config.response_body_mode).unwrap_or(BodySendMode::None),
            full_duplex,
        }
    }

    /// Whether a masked response is shown as a whole, also where Envoy ignores the override. What is beyond the buffer of
    /// BUFFERED_PARTIAL, and all that is no gRPC in GRPC mode, would pass in clear. So would all of a response that has to be
    /// asked for, where the request is in FULL_DUPLEX_STREAMED mode: with that Envoy ignores every override.
    pub fn can_mask(self) -> bool {
        match self.response {
            BodySendMode::BufferedPartial | BodySendMode::Grpc => false,
            BodySendMode::None => self.request != BodySendMode::FullDuplexStreamed,
            _ => true,
        }
    }

    /// The mode in which a response is masked: the one that the filter is configured with, if that shows whole bodies,
    /// so that a wish which Envoy ignores changes nothing; else the one that we are configured with.
    pub fn masking(self) -> BodySendMode {
        match self.response {
            own @ (BodySendMode::Buffered | BodySendMode::Streamed | BodySendMode::FullDuplexStreamed) => own,
            _ if self.full_duplex => BodySendMode::FullDuplexStreamed,
            _ => BodySendMode::Streamed,
        }
    }

    /// Whether a response's body, if it comes here, is answered by pieces of our own, not chunk by chunk.
    pub fn response_is_full_duplex(self) -> bool {
        self.masking() == BodySendMode::FullDuplexStreamed
    }

    /// The mode of a call whose response is nobody's business here, where the filter would show it and lets us say so.
    pub fn without_response(self) -> Option<ProcessingMode> {
        let skipped = || ProcessingMode {
            response_header_mode: HeaderSendMode::Skip.into(),
            // Left to its default it would be the filter's own, and trailers would come without their headers.
            response_trailer_mode: HeaderSendMode::Skip.into(),
            ..self.with_response(BodySendMode::None)
        };
        matches!(self.response, BodySendMode::Buffered | BodySendMode::Streamed).then(skipped)
    }

    /// The mode of a call whose response may be masked: its headers are shown, and of the rest what masks are about. Trailers
    /// come with a masked body, because they bypass processing otherwise.
    pub fn with_masks(self, parts: MaskedParts) -> ProcessingMode {
        let mode = self.with_response(if parts.body { self.masking() } else { BodySendMode::None });
        let trailers = if parts.trailers { HeaderSendMode::Send.into() } else { mode.response_trailer_mode };
        ProcessingMode { response_trailer_mode: trailers, ..mode }
    }

    /// The whole mode, every field restated: an override that leaves `request_body_mode` out cancels a configured
    /// BUFFERED. Trailers are asked for with a masked body, because they bypass processing otherwise.
    pub fn with_response(self, body: BodySendMode) -> ProcessingMode {
        let trailers =
            if body == BodySendMode::None { HeaderSendMode::Default } else { HeaderSendMode::Send };
        ProcessingMode {
            request_header_mode: HeaderSendMode::Default.into(),
            response_header_mode: HeaderSendMode::Send.into(),
            request_body_mode: self.request.into(),
            response_body_mode: body.into(),
            request_trailer_mode: HeaderSendMode::Default.into(),
            response_trailer_mode: trailers.into(),
        }
    }
}

/// Which half of the call an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Request,
    Response,
}

pub(super) fn headers(half: Half, mutation: Mutation, mode: Option<ProcessingMode>) -> ProcessingResponse {
    let response = HeadersResponse { response: Some(common(mutation, None)) };
    let response = match half {
        Half::Request => Response::RequestHeaders(response),
        Half::Response => Response::ResponseHeaders(response),
    };
    ProcessingResponse { response: Some(response), mode_override: mode, ..ProcessingResponse::default() }
}

/// `replacement` takes the chunk's place; without one the chunk passes as it is.
pub(super) fn body(half: Half, mutation: Mutation, replacement: Option<Vec<u8>>) -> ProcessingResponse {
    let response = BodyResponse { response: Some(common(mutation, replacement)) };
    let response = match half {
        Half::Request => Response::RequestBody(response),
        Half::Response => Response::ResponseBody(response),
    };
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

/// A piece of a body in FULL_DUPLEX_STREAMED mode: how many of them take the place of how many chunks is ours to say.
/// `last` only once the end of the body has come; where trailers end it, no piece is the last.
pub(super) fn response_piece(piece: Vec<u8>, last: bool) -> ProcessingResponse {
    let streamed =
        StreamedBodyResponse { body: piece, end_of_stream: last, ..StreamedBodyResponse::default() };
    let mutation = BodyMutation { mutation: Some(BodyChange::StreamedResponse(streamed)) };
    let common = CommonResponse { body_mutation: Some(mutation), ..CommonResponse::default() };
    let response = Response::ResponseBody(BodyResponse { response: Some(common) });
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

pub(super) fn trailers(half: Half, mutation: Mutation) -> ProcessingResponse {
    let response = TrailersResponse { header_mutation: header_mutation(mutation) };
    let response = match half {
        Half::Request => Response::RequestTrailers(response),
        Half::Response => Response::ResponseTrailers(response),
    };
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

/// Answers the caller in the upstream's place. `details` shows in Envoy's `%RESPONSE_CODE_DETAILS%`.
pub(super) fn immediate(denial: &Denial, reason: Reason) -> ProcessingResponse {
    let response = ImmediateResponse {
        status: Some(status(denial.status)),
        headers: Some(HeaderMutation {
            set_headers: denial_headers(&denial.headers),
            remove_headers: Vec::new(),
        }),
        body: denial.body.clone().into_bytes(),
        details: format!("portcullis_{}", reason.shown_to_caller()),
        ..ImmediateResponse::default()
    };
    ProcessingResponse {
        response: Some(Response::ImmediateResponse(response)),
        ..ProcessingResponse::default()
    }
}

/// Answers the caller when no session is left to do it.
pub(in crate::envoy) fn internal_error() -> ProcessingResponse {
    match Verdict::internal_error().answer {
        Answer::Deny(denial) => immediate(&denial, Reason::InternalError),
        Answer::Allow(_) => ProcessingResponse::default(),
    }
}

/// Asks Envoy to wait for this message's answer for so long.
pub(super) fn wait(timeout: Duration) -> ProcessingResponse {
    let timeout = envoy_types::pb::google::protobuf::Duration {
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(timeout.subsec_nanos()).unwrap_or(0),
    };
    ProcessingResponse { override_message_timeout: Some(timeout), ..ProcessingResponse::default() }
}

fn common(mutation: Mutation, replacement: Option<Vec<u8>>) -> CommonResponse {
    CommonResponse {
        header_mutation: header_mutation(mutation),
        body_mutation: replacement.map(|body| BodyMutation { mutation: Some(BodyChange::Body(body)) }),
        ..CommonResponse::default()
    }
}

fn header_mutation(mutation: Mutation) -> Option<HeaderMutation> {
    let Mutation { set, remove } = mutation;
    (!set.is_empty() || !remove.is_empty())
        .then_some(HeaderMutation { set_headers: set, remove_headers: remove })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(request: BodySendMode, response: BodySendMode, full_duplex: bool) -> Modes {
        let config = ProtocolConfiguration {
            request_body_mode: request.into(),
            response_body_mode: response.into(),
            ..ProtocolConfiguration::default()
        };
        Modes::of(Some(config), full_duplex)
    }

    #[test]
    fn the_mode_of_the_filter_wins_and_where_it_has_none_ours_is_asked_for() {
        use BodySendMode::{Buffered, FullDuplexStreamed, None, Streamed};
        for (response, full_duplex, masking) in [
            (None, false, Streamed),
            (None, true, FullDuplexStreamed),
            (Streamed, true, Streamed),
            (Buffered, true, Buffered),
            (FullDuplexStreamed, false, FullDuplexStreamed),
        ] {
            let modes = modes(None, response, full_duplex);
            assert_eq!(modes.masking(), masking, "{response:?} {full_duplex}");
            assert_eq!(modes.response_is_full_duplex(), masking == FullDuplexStreamed);
            let asked = modes.with_response(masking);
            assert_eq!(asked.response_trailer_mode(), HeaderSendMode::Send);
        }
    }

    #[test]
    fn a_response_that_the_filter_shows_is_left_out_where_it_may_be_with_its_trailers() {
        use BodySendMode::{Buffered, FullDuplexStreamed, None, Streamed};
        for (response, left_out) in
            [(None, false), (FullDuplexStreamed, false), (Streamed, true), (Buffered, true)]
        {
            let mode = modes(Buffered, response, false).without_response();
            assert_eq!(mode.is_some(), left_out, "{response:?}");
            if let Some(mode) = mode {
                assert_eq!((mode.request_body_mode(), mode.response_body_mode()), (Buffered, None));
                assert_eq!(mode.response_header_mode(), HeaderSendMode::Skip);
                assert_eq!(mode.response_trailer_mode(), HeaderSendMode::Skip);
            }
        }
    }

    /// Envoy ignores overrides where either half of the filter is in FULL_DUPLEX_STREAMED mode.
    #[test]
    fn nothing_is_masked_where_envoy_would_ignore_the_wish() {
        use BodySendMode::{BufferedPartial, FullDuplexStreamed, Grpc, None, Streamed};
        for (request, response, can) in [
            (None, None, true),
            (FullDuplexStreamed, None, false),
            (FullDuplexStreamed, FullDuplexStreamed, true),
            (FullDuplexStreamed, Streamed, true),
            (None, BufferedPartial, false),
            (None, Grpc, false),
        ] {
            assert_eq!(modes(request, response, true).can_mask(), can, "{request:?} {response:?}");
        }
    }
}

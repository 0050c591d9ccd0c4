//! What the policies say about one call of a file, from the request to the masked response.

use super::masked;
use crate::policy::call_file::CallFile;
use crate::policy::decision::{Call, Decision};
use crate::policy::{PolicySet, RuleExplanation};
use crate::request::Headers;

#[derive(Clone, Debug)]
pub struct Judgement {
    pub decision: Decision,
    /// What each rule said whose policy matches; none for a call that is refused before rules are asked.
    pub rules: Vec<RuleExplanation>,
    /// The response's body as the caller would see it, or why it would be blocked; `None` without a response.
    pub body: Option<Result<String, String>>,
    /// Its headers as the caller would see them, but for those that describe the body, or why none are seen.
    pub headers: Option<Result<Headers, String>>,
}

pub fn judge(set: &PolicySet, call: &CallFile) -> Judgement {
    if let Some(reason) = call.request.defect {
        return Judgement {
            decision: Decision::refused(reason),
            rules: Vec::new(),
            body: None,
            headers: None,
        };
    }
    let candidates = set.candidates(&call.request, call.gateway);
    let before = Call { request: &call.request, identity: &call.identity, response: None };
    let response = call.response.as_ref();
    let after = Call { response: response.map(|response| &response.head), ..before };
    let decision = set.decide(&candidates, &before);
    let rules = set.explain(&candidates, &after).rules;
    let body = response.map(|response| masked::body(set, &candidates, &after, response));
    let headers = response
        .map(|response| masked::headers(set, &candidates, &after, response, &decision.headers().response));
    Judgement { decision, rules, body, headers }
}

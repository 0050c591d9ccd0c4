//! `portcullis policy explain`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::effect::all_of;
use crate::policy::{Call, Decision, Explanation, Outcome};

/// Show the verdict for one call, and why
///
/// Lists each rule whose policy matches the call: what it read, and what it said. Credentials are hidden.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis policy explain policies/ --call call.yaml")]
pub struct Args {
    /// Policy files, directories that hold them, and bundles
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The call, as a call file
    #[arg(long, value_name = "FILE")]
    call: PathBuf,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let (set, call) = match (super::load(&args.paths), super::read_call(&args.call)) {
        (Ok(set), Ok(call)) => (set, call),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    if let Some(defect) = call.request.defect {
        super::print(&format!("deny ({}): no policy is asked about such a call\n", defect.as_str()));
        return ExitCode::SUCCESS;
    }
    let candidates = set.candidates(&call.request, call.gateway);
    let before = Call { request: &call.request, identity: &call.identity, response: None };
    let decision = set.decide(&candidates, &before);
    let after = Call { response: call.response.as_ref().map(|response| &response.head), ..before };
    let explanation = set.explain(&candidates, &after);
    super::print(&match args.format {
        Format::Human => human(&decision, &explanation),
        Format::Json => super::as_json(&as_json(&decision, &explanation)),
    });
    ExitCode::SUCCESS
}

fn human(decision: &Decision, explanation: &Explanation) -> String {
    let mut text = format!("{} ({})", decision.outcome.as_str(), decision.reason.as_str());
    if let Some(rule) = &decision.rule {
        let _ = write!(text, " by {rule}");
    }
    if let Outcome::Hold(rules) = &decision.outcome {
        for rule in rules {
            let _ = write!(text, "; {} needs {}", rule.name, all_of(&rule.terms.approvers));
        }
    }
    text.push('\n');
    if let Outcome::Hold(rules) = &decision.outcome {
        for rule in rules {
            for clause in rule.terms.clauses().iter().skip(1) {
                let _ = writeln!(text, "  {}: {clause}", rule.name);
            }
        }
    }
    for (rule, because) in decision.auto_approved() {
        let _ = writeln!(text, "  {rule} approves this call by itself: {because}");
    }
    if explanation.rules.is_empty() {
        text.push_str("no policy matches this call\n");
    }
    for rule in &explanation.rules {
        let said = rule.said.map_or("does not apply", |said| said.as_str());
        let shadow = if rule.enforce { "" } else { " (not enforced)" };
        let _ = writeln!(text, "\n{}: {said}{shadow}", rule.rule);
        if let Some(note) = &rule.note {
            let _ = writeln!(text, "  {note}");
        }
        for (name, value) in &rule.read {
            let _ = writeln!(text, "  {name} = {value}");
        }
    }
    text
}

fn as_json(decision: &Decision, explanation: &Explanation) -> serde_json::Value {
    let rules: Vec<_> = explanation
        .rules
        .iter()
        .map(|rule| {
            let read: serde_json::Map<_, _> =
                rule.read.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            json!({"rule": rule.rule, "enforce": rule.enforce, "said": rule.said, "note": rule.note, "read": read})
        })
        .collect();
    let shadow: Vec<_> =
        decision.shadow().iter().map(|shadow| json!({"rule": shadow.rule, "said": shadow.said})).collect();
    let holds: Vec<_> = match &decision.outcome {
        Outcome::Hold(rules) => {
            rules.iter().map(|rule| json!({"rule": rule.name, "terms": rule.terms.clauses()})).collect()
        }
        _ => Vec::new(),
    };
    let auto: Vec<_> =
        decision.auto_approved().iter().map(|(rule, why)| json!({"rule": rule, "because": why})).collect();
    json!({
        "holds": holds,
        "auto_approved": auto,
        "outcome": decision.outcome.as_str(),
        "reason": decision.reason.as_str(),
        "rule": decision.rule,
        "may_mask": decision.may_mask,
        "shadow": shadow,
        "rules": rules,
    })
}

//! `portcullis policy eval`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::diagnostic::{Diagnostic, Place, Sources};
use crate::policy::cel::{Environment, Expression, Mistake, Scope};
use crate::policy::{Call, add_hint};

/// Evaluate one CEL expression
///
/// Checks the names and types in it as in a policy, evaluates it on the call or input given, and prints the value as
/// JSON: `true` or `false` for a condition, which tells whether a rule would apply. Exits with 1 when the expression has a mistake or no value.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis policy eval 'request.method == \"GET\"' --call call.yaml
  portcullis policy eval 'input.amount <= 500' --input '{\"amount\": 700}'")]
pub struct Args {
    /// The expression, in quotes for the shell: a condition, or anything else that has a value
    #[arg(value_name = "EXPR")]
    expression: String,
    /// The call that `request`, `identity` and the other names stand for
    #[arg(long, value_name = "FILE")]
    call: Option<PathBuf>,
    /// A JSON value, readable as `input`
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
}

pub fn run(args: &Args) -> ExitCode {
    let input = match args.input.as_deref().map(serde_json::from_str::<serde_json::Value>).transpose() {
        Ok(input) => input,
        Err(error) => return super::usage_error(&format!("`--input` is not JSON: {error}")),
    };
    let call = match args.call.as_deref().map(super::read_call).transpose() {
        Ok(call) => call,
        Err(code) => return code,
    };
    let environment = Environment { captures: &[], input: input.is_some() };
    let expression = match Expression::compile(&args.expression, &environment) {
        Ok(expression) => expression,
        Err(mistakes) => return report(&args.expression, mistakes),
    };
    let call = call.as_ref().map(|call| Call {
        request: &call.request,
        identity: &call.identity,
        response: call.response.as_ref().map(|response| &response.head),
    });
    let scope = call.map_or_else(Scope::empty, Scope::of);
    let scope = match &input {
        Some(input) => scope.with_input(input),
        None => scope,
    };
    match expression.evaluate(&scope) {
        Ok(value) => {
            super::print(&format!("{}\n", value.to_json()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            super::print_error(&format!("error: {error}\n"));
            ExitCode::from(super::FINDINGS)
        }
    }
}

fn report(text: &str, mistakes: Vec<Mistake>) -> ExitCode {
    let file = "expression".into();
    let mut sources = Sources::default();
    sources.add(&file, &text.into());
    let findings: Vec<Diagnostic> = mistakes
        .into_iter()
        .map(|Mistake { at, finding }| {
            let before = text.get(..at.offset).unwrap_or_default();
            let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(1);
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let column = u32::try_from(column).unwrap_or(1);
            let place = Place { file: file.clone(), line, column, offset: at.offset, len: at.len };
            let mut finding = finding.at(place);
            add_hint(&mut finding, text);
            finding
        })
        .collect();
    super::print_findings(&findings, &sources);
    ExitCode::from(super::FINDINGS)
}

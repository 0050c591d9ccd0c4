//! `format`: a template whose clauses (`%s`, `%d`, `%f`, `%e`, `%b`, `%o`, `%x`, `%X`) take the values of a list in
//! turn.

use std::borrow::Cow;

use super::super::EvaluationError;
use super::super::budget::{Budget, CONVERSION};
use super::super::display;
use super::super::types::with_article;
use super::super::value::Value;
use super::builtin::{Applied, Builtin, Kind, invalid, no_overload, text};

/// How many digits may follow the point.
const MAX_PRECISION: usize = 100;
/// How many digits a double may have before its point.
const MAX_DIGITS: usize = 309;
/// How many digits the shortest decimal of a double may need; that it has fewer is not known before.
pub const SHORTEST_DIGITS: usize = 18;

pub const BUILTINS: &[Builtin] = &[Builtin {
    name: "format",
    method: true,
    parameters: &[Kind::Text, Kind::List],
    result: text,
    apply: format,
}];

/// A part of a template.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    Text(&'t str),
    Clause { verb: char, precision: Option<usize> },
}

/// Text that is paid for as it grows.
struct Output<'b> {
    text: String,
    budget: &'b mut Budget,
}

impl Output<'_> {
    fn push(&mut self, text: &str) -> Result<(), EvaluationError> {
        self.budget.allocate(2 * text.len())?;
        self.text.push_str(text);
        Ok(())
    }
}

fn format<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let [Value::Text(template), values] = arguments else { return Err(no_overload("format", arguments)) };
    let len = values.list_len().ok_or_else(|| no_overload("format", arguments))?;
    let mut output = Output { text: String::new(), budget };
    let mut next = 0;
    for part in parts(template) {
        match part.map_err(|problem| invalid("format", problem))? {
            Part::Text(text) => output.push(text)?,
            Part::Clause { verb, precision } => {
                let value = values.at(next).filter(|_| next < len);
                let value = value.ok_or_else(|| invalid("format", format!("value {next} is missing")))?;
                clause(&mut output, verb, precision, &value)?;
                next += 1;
            }
        }
    }
    Ok(Value::Text(Cow::Owned(output.text)))
}

/// How many values a template takes; what is wrong with it otherwise.
pub fn clauses(template: &str) -> Result<usize, String> {
    parts(template).try_fold(0, |count, part| Ok(count + usize::from(matches!(part?, Part::Clause { .. }))))
}

/// The parts of a template, in order.
fn parts(template: &str) -> impl Iterator<Item = Result<Part<'_>, String>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(after) = rest.strip_prefix('%') else {
            let (text, after) = rest.split_at_checked(rest.find('%').unwrap_or(rest.len()))?;
            rest = after;
            return Some(Ok(Part::Text(text)));
        };
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            return Some(Ok(Part::Text("%")));
        }
        let (part, after) = match parse_clause(after) {
            Ok((part, after)) => (Ok(part), after),
            Err(problem) => (Err(problem), ""),
        };
        rest = after;
        Some(part)
    })
}

fn parse_clause(text: &str) -> Result<(Part<'_>, &str), String> {
    let (precision, rest) = match text.strip_prefix('.') {
        None => (None, text),
        Some(digits) => {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let (digits, rest) = digits.split_at_checked(end).unwrap_or((digits, ""));
            let precision = digits.parse().ok().filter(|digits| *digits <= MAX_PRECISION);
            let problem = || format!("a precision is a number up to {MAX_PRECISION}");
            (Some(precision.ok_or_else(problem)?), rest)
        }
    };
    let mut chars = rest.chars();
    match chars.next() {
        Some(verb @ ('s' | 'd' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X')) => {
            Ok((Part::Clause { verb, precision }, chars.as_str()))
        }
        Some(other) => Err(format!("unknown clause `%{other}`")),
        None => Err("the template ends within a clause".into()),
    }
}

fn clause(
    output: &mut Output<'_>,
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
) -> Result<(), EvaluationError> {
    output.budget.spend(4)?;
    if let ('f' | 'e', Some(number)) = (verb, number(value)) {
        output.budget.spend(double_cost(digits(verb, number, precision.unwrap_or(6))))?;
    }
    let made = match (verb, value) {
        ('s', _) => return plain(output, value),
        ('d', Value::Int(n)) => n.to_string(),
        ('d', Value::Uint(n)) => n.to_string(),
        ('d' | 'f' | 'e', Value::Double(n)) if !n.is_finite() => not_finite(*n).into(),
        ('f', _) => {
            let number = number(value).ok_or_else(|| mismatch(verb, value))?;
            format!("{number:.*}", precision.unwrap_or(6))
        }
        ('e', _) => {
            let number = number(value).ok_or_else(|| mismatch(verb, value))?;
            let scientific = format!("{number:.*e}", precision.unwrap_or(6));
            let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            display::with_exponent(mantissa, exponent.parse().unwrap_or(0))
        }
        ('b', Value::Bool(b)) => u8::from(*b).to_string(),
        ('x' | 'X', Value::Text(text)) => return hex(output, text.as_bytes(), verb),
        ('x' | 'X', Value::Bytes(bytes)) => return hex(output, bytes, verb),
        ('b' | 'o' | 'x' | 'X', Value::Int(n)) => {
            let sign = if *n < 0 { "-" } else { "" };
            format!("{sign}{}", in_base(verb, n.unsigned_abs()))
        }
        ('b' | 'o' | 'x' | 'X', Value::Uint(n)) => in_base(verb, *n),
        _ => return Err(mismatch(verb, value)),
    };
    output.push(&made)
}

/// What it costs, in steps, to write a double with so many digits: beyond 17, each is worked out with a number of a
/// thousand bits.
pub fn double_cost(digits: usize) -> usize {
    const QUICK: usize = 17;
    if digits <= QUICK { CONVERSION } else { CONVERSION * digits }
}

/// How many digits a clause writes.
fn digits(verb: char, number: f64, precision: usize) -> usize {
    precision + if verb == 'f' && number.abs() >= 1e15 { MAX_DIGITS } else { 1 }
}

fn mismatch(verb: char, value: &Value<'_>) -> EvaluationError {
    invalid("format", format!("`%{verb}` can't show {}", with_article(value.type_name())))
}

fn in_base(verb: char, n: u64) -> String {
    match verb {
        'b' => format!("{n:b}"),
        'o' => format!("{n:o}"),
        'x' => format!("{n:x}"),
        _ => format!("{n:X}"),
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(n) => Some(*n),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        Value::Int(n) => Some(*n as f64),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        Value::Uint(n) => Some(*n as f64),
        _ => None,
    }
}

fn not_finite(n: f64) -> &'static str {
    match n {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn hex(output: &mut Output<'_>, bytes: &[u8], verb: char) -> Result<(), EvaluationError> {
    output.budget.allocate(4 * bytes.len())?;
    let digits = if verb == 'x' { hex::encode(bytes) } else { hex::encode_upper(bytes) };
    output.push(&digits)
}

/// `%s`: any value, lists and maps with their parts, maps in the order of their keys' texts.
fn plain(output: &mut Output<'_>, value: &Value<'_>) -> Result<(), EvaluationError> {
    output.budget.spend(match value {
        Value::Double(_) => double_cost(SHORTEST_DIGITS),
        Value::Timestamp(_) | Value::Duration(_) | Value::Ip(_) | Value::Cidr(_) => 3 * CONVERSION,
        _ => 2,
    })?;
    let made = match value {
        Value::Text(text) => return output.push(text),
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) if !n.is_finite() => not_finite(*n).into(),
        Value::Double(n) => display::double(*n),
        Value::Bytes(bytes) => {
            output.budget.allocate(3 * bytes.len())?;
            String::from_utf8_lossy(bytes).into_owned()
        }
        Value::Timestamp(at) => display::timestamp(*at),
        Value::Duration(span) => display::duration(*span),
        Value::Type(name) => (*name).to_owned(),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(network) => network.to_string(),
        Value::Optional(_) => return Err(mismatch('s', value)),
        _ => return plain_parts(output, value),
    };
    output.push(&made)
}

fn plain_parts(output: &mut Output<'_>, value: &Value<'_>) -> Result<(), EvaluationError> {
    if let Some(len) = value.list_len() {
        output.push("[")?;
        for index in 0..len {
            output.push(if index == 0 { "" } else { ", " })?;
            plain(output, &value.at(index).unwrap_or(Value::Null))?;
        }
        return output.push("]");
    }
    let entries = value.map_len().unwrap_or(0);
    output.budget.allocate(entries.saturating_mul(2 * size_of::<(String, Value<'_>)>()))?;
    let mut keys = Vec::with_capacity(entries);
    for key in value.keys().unwrap_or_default() {
        let mut shown = Output { text: String::new(), budget: &mut *output.budget };
        plain(&mut shown, &key)?;
        keys.push((shown.text, key));
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    output.push("{")?;
    for (index, (shown, key)) in keys.iter().enumerate() {
        output.push(if index == 0 { "" } else { ", " })?;
        output.push(shown)?;
        output.push(": ")?;
        output.budget.spend(value.lookup_cost(key, output.budget.steps_left()))?;
        plain(output, &value.entry(key)?.unwrap_or(Value::Null))?;
    }
    output.push("}")
}

//! Whether a condition has an answer. One that has none denies the call, so it is neither true nor false: what is
//! claimed of a condition must say which of the three it means.
//!
//! The limits on steps and memory are left out: conditions over attributes don't come near them.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::formula::{Constant, Formula, Question, Test};
use super::show::{quoted, show};
use super::solve::conflict;
use crate::policy::cel::{Attribute, syntax};

/// What a value is known to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Bool,
}

/// Whether the formula may have no answer on a call on which all of `facts` are true.
pub fn may_fail(facts: &[Test], formula: &Formula) -> bool {
    match formula {
        Formula::Constant(_) => false,
        Formula::Test(test) => !answered(facts, test),
        Formula::All(parts) => some_may_fail(facts, parts, false),
        Formula::Any(parts) => some_may_fail(facts, parts, true),
    }
}

/// A failing part makes the whole fail only where no other part decides it: there those that have an answer are all
/// true in an `&&`, all false in an `||`.
fn some_may_fail(facts: &[Test], parts: &[Formula], any: bool) -> bool {
    let mut facts = facts.to_vec();
    let mut left: Vec<&Test> = parts
        .iter()
        .filter_map(|part| match part {
            Formula::Test(test) => Some(test),
            _ => None,
        })
        .collect();
    loop {
        let (known, unknown): (Vec<&Test>, Vec<&Test>) = left.iter().partition(|test| answered(&facts, test));
        if known.is_empty() {
            break;
        }
        facts.extend(known.into_iter().map(|test| if any { test.negate() } else { test.clone() }));
        left = unknown;
    }
    conflict(&facts).is_none() && parts.iter().any(|part| may_fail(&facts, part))
}

/// Whether the test is true or false on every call on which all of `facts` are true.
fn answered(facts: &[Test], test: &Test) -> bool {
    let of_subject = || facts.iter().filter(|fact| fact.subject == test.subject);
    let kind = match &test.question {
        Question::OneOf(_) => None,
        Question::Holds => Some(Kind::Bool),
        Question::StartsWith(_) | Question::EndsWith(_) | Question::Contains(_) => Some(Kind::Text),
        _ => Some(Kind::Number),
    };
    if of_subject().any(|fact| kind.is_none_or(|kind| fact.proves(kind))) {
        return true;
    }
    let Some(subject) = syntax(&test.subject) else { return false };
    if always_there(&subject) {
        return true;
    }
    let there = || of_subject().next().is_some() || facts.iter().any(|fact| finds(fact, &subject));
    kind.is_none_or(|kind| static_kind(&subject) == Some(kind)) && there()
}

impl Test {
    /// Whether a value of which the test is true is surely of this kind.
    pub fn proves(&self, kind: Kind) -> bool {
        let of_kind = |constant: &Constant| match constant {
            Constant::Null => false,
            Constant::Bool(_) => kind == Kind::Bool,
            Constant::Number(_) => kind == Kind::Number,
            Constant::Text(_) => kind == Kind::Text,
        };
        match &self.question {
            Question::OneOf(constants) => !self.negated && constants.iter().all(of_kind),
            Question::Holds => kind == Kind::Bool,
            Question::StartsWith(_) | Question::EndsWith(_) | Question::Contains(_) => kind == Kind::Text,
            _ => kind == Kind::Number,
        }
    }
}

/// Whether the expression has a value on every call.
fn always_there(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Ident(_) => attribute(node).is_some(),
        // Whether an entry is there is known of maps that are always there. A header that is not UTF-8 has no answer.
        Expr::Select(select) if select.test => match (named(node), attribute(&select.operand)) {
            (Some(of_namespace), _) => !of_namespace.reads_body() && of_namespace != Attribute::Params,
            (None, operand) => operand.is_some_and(is_plain_map),
        },
        Expr::Select(_) => attribute(node).is_some_and(is_always_there),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::IN, [item, of]) => {
                let literal = matches!(item.expr, Expr::Literal(LiteralValue::String(_)));
                let plain =
                    |of: Attribute| is_plain_map(of) || matches!(of, Attribute::Groups | Attribute::Scopes);
                literal && attribute(of).is_some_and(plain)
            }
            (operators::EQUALS, [left, right]) => always_there(left) && always_there(right),
            _ => false,
        },
        _ => false,
    }
}

fn is_plain_map(attribute: Attribute) -> bool {
    matches!(attribute, Attribute::Claims | Attribute::Context | Attribute::Metadata)
}

fn is_always_there(attribute: Attribute) -> bool {
    !matches!(
        attribute,
        Attribute::Params
            | Attribute::Size
            | Attribute::Body
            | Attribute::RawBody
            | Attribute::GrpcService
            | Attribute::GrpcMethod
            | Attribute::Input
            | Attribute::Capture(_)
    )
}

/// The attribute that the expression is, whether it reads or tests it.
fn named(node: &IdedExpr) -> Option<Attribute> {
    let Expr::Select(select) = &node.expr else { return None };
    let Expr::Ident(namespace) = &select.operand.expr else { return None };
    Attribute::of_field(namespace, &select.field)
}

fn attribute(node: &IdedExpr) -> Option<Attribute> {
    match &node.expr {
        Expr::Ident(name) => Attribute::of_root(name),
        Expr::Select(select) if !select.test => named(node),
        _ => None,
    }
}

/// Whether the fact says that `subject`, an entry of a map, is there.
fn finds(fact: &Test, subject: &IdedExpr) -> bool {
    !fact.negated && fact.question == Question::Holds && presence(subject).contains(&fact.subject)
}

/// The expressions that ask whether `subject`, an entry of a map, is there.
fn presence(subject: &IdedExpr) -> Vec<String> {
    let (map, key) = match &subject.expr {
        Expr::Select(select) if !select.test && named(subject).is_none() => {
            (&*select.operand, select.field.clone())
        }
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [map, key]) => match &key.expr {
                Expr::Literal(LiteralValue::String(key)) => (map, key.inner().to_owned()),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        },
        Expr::Select(select) if !select.test => return vec![format!("has({})", show(subject))],
        _ => return Vec::new(),
    };
    let headers = matches!(attribute(map), Some(Attribute::Headers | Attribute::ResponseHeaders));
    let listed = if headers { key.to_ascii_lowercase() } else { key };
    let mut asked = vec![format!("{} in {}", quoted(&listed), show(map))];
    if matches!(subject.expr, Expr::Select(_)) {
        asked.push(format!("has({})", show(subject)));
    }
    asked
}

/// Adds what else is true where the tests are: that the entries of maps which they read are there.
pub fn add_presence(cube: &mut Vec<Test>) {
    let mut found = Vec::new();
    for test in cube.iter() {
        let Some(subject) = syntax(&test.subject) else { continue };
        // What `has()` asks of an attribute itself is whether it is empty.
        if named(&subject).is_none() {
            found.extend(presence(&subject));
        }
    }
    found.sort_unstable();
    found.dedup();
    let test = |subject| Test { subject, question: Question::Holds, negated: false };
    cube.extend(found.into_iter().map(test));
}

/// What the value surely is where there is one.
fn static_kind(node: &IdedExpr) -> Option<Kind> {
    let of = |attribute: Attribute| match attribute {
        Attribute::Size => Some(Kind::Number),
        Attribute::GrpcService | Attribute::GrpcMethod => Some(Kind::Text),
        _ => None,
    };
    let texts = |attribute: Attribute| {
        matches!(attribute, Attribute::Headers | Attribute::ResponseHeaders | Attribute::Context)
    };
    let entry = |map: &IdedExpr| attribute(map).is_some_and(texts).then_some(Kind::Text);
    match &node.expr {
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(name) if name == "path" => Some(Kind::Text),
            _ => attribute(node).and_then(of).or_else(|| entry(&select.operand)),
        },
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [map, _]) => entry(map),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> bool {
        may_fail(&[], &Formula::parse(text).unwrap())
    }

    #[test]
    fn conditions_that_always_have_an_answer_are_known() {
        for text in [
            "request.method == 'GET' && !(source.port > 5 || request.host.endsWith('.b'))",
            "'a' in identity.groups && 'k' in identity.claims && connection.mtls",
            "'k' in identity.claims && identity.claims.k == 'a'",
            "has(identity.claims.k) && identity.claims.k == 'a'",
            "!('k' in context) || context.k.startsWith('a')",
            "has(request.size) && request.size > 5",
            "identity.subject == source.principal",
        ] {
            assert!(!fails(text), "{text}");
        }
    }

    #[test]
    fn conditions_that_may_have_none_are_known() {
        for text in [
            "request.headers['a'] == 'b'",
            // A header that is not UTF-8 is neither there nor not.
            "'a' in request.headers",
            "request.size > 5",
            "request.body.a == 1",
            "grpc.service == 'a.B'",
            "request.params.a == ['b']",
            "identity.claims.k == 'a'",
            "'k' in identity.claims && identity.claims.k.startsWith('a')",
            "'k' in identity.claims || identity.claims.k == 'a'",
            "'k' in identity.claims && identity.claims.j == 'a'",
            "identity.claims.k",
            "'g' in identity.claims.groups",
            "has(identity.claims.a.b)",
            "identity.groups.exists(g, g.matches('a+'))",
        ] {
            assert!(fails(text), "{text}");
        }
    }

    #[test]
    fn what_is_known_of_a_call_counts() {
        let after = |fact: &str, text: &str| {
            let Formula::Test(fact) = Formula::parse(fact).unwrap() else { panic!("{fact}") };
            may_fail(&[fact], &Formula::parse(text).unwrap())
        };
        for (fact, text) in [
            ("request.headers['A'] == 'b'", "request.headers['a'].startsWith('c')"),
            ("'A' in request.headers", "request.headers['a'].startsWith('c')"),
            ("identity.claims.k > 5", "identity.claims.k < 3"),
            ("identity.claims.k != 'a'", "identity.claims.k in ['b', 'c']"),
            ("request.size != 5", "request.size < 3"),
        ] {
            assert!(!after(fact, text), "{fact} {text}");
        }
        for (fact, text) in [
            ("identity.claims.k != 'a'", "identity.claims.k < 3"),
            ("identity.claims.k == 'a'", "identity.claims.k"),
            ("identity.claims.k == true", "identity.claims.k < 3"),
            ("!('A' in request.headers)", "request.headers['a'].startsWith('c')"),
        ] {
            assert!(after(fact, text), "{fact} {text}");
        }
    }
}

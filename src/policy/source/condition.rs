//! `when` and the expressions in header templates, with the places of their mistakes in the file.

use super::{PolicyReader, scalar};
use crate::diagnostic::Diagnostic;
use crate::document::{Node, Value as Yaml};
use crate::policy::cel::{At, Environment, Expression, Mistake, Scope, Type, Value};

impl PolicyReader<'_> {
    /// Compiles a condition; `None` when a mistake was reported.
    pub(super) fn condition(&mut self, node: &Node, captures: &[String]) -> Option<Expression> {
        if let Yaml::Bool(value) = node.value {
            self.constant(node, value);
            return Expression::compile(&value.to_string(), &Environment::default()).ok();
        }
        let text = self.reader.string(node, "`when`")?;
        let expression = self.expression(node, 0, text, captures)?;
        if !expression.ty.fits(&Type::Bool) {
            let message = format!("`when` must be true or false, and this is {:#}", expression.ty);
            self.reader.error(node.span, "type-mismatch", message);
            return None;
        }
        if expression.reads.nothing() {
            match expression.evaluate(&Scope::empty()) {
                Ok(Value::Bool(value)) => self.constant(node, value),
                Ok(_) => {}
                Err(error) => {
                    let message = format!("the condition can never be evaluated: {error}");
                    self.reader.error(node.span, "constant-condition", message);
                    return None;
                }
            }
        }
        Some(expression)
    }

    /// Compiles `text`, which begins `offset` bytes into the scalar `node`.
    pub(super) fn expression(
        &mut self,
        node: &Node,
        offset: usize,
        text: &str,
        captures: &[String],
    ) -> Option<Expression> {
        match Expression::compile(text, &Environment { captures, input: false }) {
            Ok(expression) => Some(expression),
            Err(mistakes) => {
                for Mistake { at, finding } in mistakes {
                    let at = At { offset: at.offset + offset, len: at.len };
                    let place = scalar::span(self.text, node, at).place(&self.reader.file);
                    self.reader.findings.push(finding.at(place));
                }
                None
            }
        }
    }

    fn constant(&mut self, node: &Node, value: bool) {
        let message = format!("the condition is always {value}");
        let help =
            if value { "leave `when` out: the rule then always applies" } else { "the rule never applies" };
        let finding = Diagnostic::warning("constant-condition", message).help(help);
        self.reader.findings.push(finding.at(node.span.place(&self.reader.file)));
    }
}

//! From the parser's tree to ours: names resolved, types checked, and what can't be evaluated safely refused.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Syntax, IdedExpr, SelectExpr};

use super::attribute::{Attribute, CAPTURES};
use super::expression::{Expr, Literal, Reads};
use super::parse::Parsed;
use super::pattern::COMPILING;
use super::types::Type;
use super::{At, Environment, Mistake};
use crate::diagnostic::closest;

mod builtin;
mod call;
mod fold;
mod literal;
mod macros;
mod operator;
mod optional;

/// How deep a lowered tree may be: evaluation recurses over it.
const MAX_DEPTH: usize = 100;
/// How many mistakes of one expression are reported: what was meant instead takes long to find.
const MAX_MISTAKES: usize = 8;

pub struct Lowering<'a> {
    parsed: &'a Parsed,
    environment: &'a Environment<'a>,
    /// The variables of the macros around the node being lowered.
    locals: Vec<(String, Type)>,
    depth: usize,
    /// What compiling further patterns may cost.
    patterns: usize,
    pub reads: Reads,
    pub mistakes: Vec<Mistake>,
}

/// A lowered node and its static type; `None` when a mistake was reported in it.
type Lowered = Option<(Expr, Type)>;

impl<'a> Lowering<'a> {
    pub fn new(parsed: &'a Parsed, environment: &'a Environment<'a>) -> Self {
        let (locals, reads, mistakes) = (Vec::new(), Reads::default(), Vec::new());
        Self { parsed, environment, locals, depth: 0, patterns: COMPILING, reads, mistakes }
    }

    pub fn lower(&mut self, node: &IdedExpr) -> Lowered {
        if self.depth >= MAX_DEPTH {
            return self.refuse(node, "expression-too-deep", "the expression nests too deeply");
        }
        if self.mistakes.len() >= MAX_MISTAKES {
            return None;
        }
        self.depth += 1;
        let lowered = self.lower_node(node);
        self.depth -= 1;
        lowered
    }

    fn lower_node(&mut self, node: &IdedExpr) -> Lowered {
        match &node.expr {
            Syntax::Literal(literal) => Some(literal::constant(literal)),
            Syntax::Ident(name) => self.name(node, name),
            Syntax::Select(select) => self.select(node, select),
            Syntax::List(list) => self.list(&list.elements, &list.optional_indices),
            Syntax::Map(map) => {
                let entries: Vec<_> = map.entries.iter().map(|entry| &entry.expr).collect();
                self.map(&entries)
            }
            Syntax::Call(call) => self.call(node, call),
            Syntax::Comprehension(comprehension) => self.comprehension(node, comprehension),
            Syntax::Struct(_) => {
                self.refuse(node, "unsupported-expression", "messages can't be built in a condition")
            }
            Syntax::Unspecified => self.refuse(node, "invalid-expression", "the expression is incomplete"),
        }
    }

    fn name(&mut self, node: &IdedExpr, name: &str) -> Lowered {
        // A leading dot means the outermost name: one that a macro's variable can't hide.
        let (outermost, name) = name.strip_prefix('.').map_or((false, name), |name| (true, name));
        if outermost {
            return self.outer_name(node, name);
        }
        if let Some(index) = self.locals.iter().rposition(|(local, _)| local == name) {
            let ty = self.locals.get(index).map_or(Type::Dyn, |(_, ty)| ty.clone());
            return Some((Expr::Local(index), ty));
        }
        self.outer_name(node, name)
    }

    fn outer_name(&mut self, node: &IdedExpr, name: &str) -> Lowered {
        if let Some(name) = type_name(name) {
            return Some((Expr::Literal(Literal::Type(name)), Type::Type));
        }
        if let Some(attribute) = self.root(name) {
            return self.attribute(attribute);
        }
        let mistake = if Attribute::is_namespace(name) {
            Mistake::new(self.at(node), "not-a-value", format!("`{name}` is not a value by itself"))
                .help(format!("read one of its fields, as in `{name}.{}`", first_field(name)))
        } else {
            let locals = self.locals.iter().map(|(local, _)| local.as_str());
            let meant = closest(name, locals).map(str::to_owned).or_else(|| Attribute::root_suggestion(name));
            let mistake = Mistake::new(self.at(node), "unknown-name", format!("unknown name `{name}`"));
            match meant {
                Some(meant) => mistake.help(format!("did you mean `{meant}`?")),
                None => mistake,
            }
        };
        self.mistakes.push(mistake);
        None
    }

    fn root(&self, name: &str) -> Option<Attribute> {
        match name {
            "input" if self.environment.input => Some(Attribute::Input),
            _ => Attribute::of_root(name),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last step of functions that return `Lowered`")]
    fn attribute(&mut self, attribute: Attribute) -> Lowered {
        self.reads.attribute(attribute);
        Some((Expr::Attribute(attribute), attribute.ty()))
    }

    fn select(&mut self, node: &IdedExpr, select: &SelectExpr) -> Lowered {
        if let Some(namespace) = self.namespace(&select.operand) {
            let attribute = self.field_of(node, namespace, &select.field)?;
            if select.test {
                self.attribute(attribute)?;
                return Some((Expr::HasAttribute(attribute), Type::Bool));
            }
            return self.attribute(attribute);
        }
        if let Some(response) = self.headers_map(&select.operand) {
            return Some(self.header(response, &select.field, select.test));
        }
        if let Some(name) = dotted(node).and_then(|name| type_name(name.trim_start_matches('.'))) {
            return Some((Expr::Literal(Literal::Type(name)), Type::Type));
        }
        let (operand, ty) = self.lower(&select.operand)?;
        self.reads.entry_of(&operand, &select.field);
        if let Type::Optional(inside) = &ty {
            let value = self.field_type(node, inside, &select.field)?;
            return Some(optional::selected(operand, &select.field, value, select.test));
        }
        let value = self.field_type(node, &ty, &select.field)?;
        let (operand, name) = (Box::new(operand), select.field.clone());
        Some(if select.test {
            (Expr::HasField { operand, name }, Type::Bool)
        } else {
            (Expr::Field { operand, name }, value)
        })
    }

    /// The type of a field of an `operand`.
    fn field_type(&mut self, node: &IdedExpr, operand: &Type, field: &str) -> Option<Type> {
        match operand {
            Type::Dyn => Some(Type::Dyn),
            Type::Map(_, value) => Some((**value).clone()),
            other => self.refuse(node, "type-mismatch", format!("{other:#} has no field `{field}`")),
        }
    }

    /// The namespace that `node` names, unless a macro's variable hides it.
    fn namespace<'n>(&self, node: &'n IdedExpr) -> Option<&'n str> {
        match &node.expr {
            Syntax::Ident(name) if self.locals.iter().all(|(local, _)| local != name) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                Attribute::is_namespace(name).then_some(name)
            }
            _ => None,
        }
    }

    fn field_of(&mut self, node: &IdedExpr, namespace: &str, field: &str) -> Option<Attribute> {
        let found = if namespace == CAPTURES {
            self.environment.captures.iter().position(|name| name == field).map(Attribute::Capture)
        } else {
            Attribute::of_field(namespace, field)
        };
        if found.is_none() {
            let at = self.at(node);
            let message = format!("unknown name `{namespace}.{field}`");
            let meant = if namespace == CAPTURES {
                let captures = self.environment.captures.iter().map(String::as_str);
                closest(field, captures).map(|field| format!("did you mean `{namespace}.{field}`?")).or_else(
                    || Some(format!("every entry of `match` must capture it, as in `/orders/{{{field}}}`")),
                )
            } else {
                Attribute::suggestion(namespace, field).map(|meant| format!("did you mean `{meant}`?"))
            };
            let mistake = Mistake::new(at, "unknown-name", message);
            self.mistakes.push(match meant {
                Some(help) => mistake.help(help),
                None => mistake,
            });
        }
        found
    }

    /// Whether `node` is the request's (`Some(false)`) or the response's headers.
    fn headers_map(&self, node: &IdedExpr) -> Option<bool> {
        let Syntax::Select(select) = &node.expr else { return None };
        let headers =
            self.namespace(&select.operand).filter(|_| !select.test && select.field == "headers")?;
        match headers {
            "request" => Some(false),
            "response" => Some(true),
            _ => None,
        }
    }

    fn header(&mut self, response: bool, name: &str, test: bool) -> (Expr, Type) {
        let name = name.to_ascii_lowercase();
        if response {
            self.reads.attributes.insert(Attribute::ResponseHeaders);
        } else {
            self.reads.attributes.insert(Attribute::Headers);
            self.reads.headers.insert(name.clone());
        }
        if test {
            (Expr::HasHeader { response, name }, Type::Bool)
        } else {
            (Expr::Header { response, name }, Type::Text)
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Lowered {
        match self.operator(node, call) {
            Some(lowered) => lowered,
            None => self.function(node, call),
        }
    }

    fn comprehension(&mut self, node: &IdedExpr, comprehension: &ComprehensionExpr) -> Lowered {
        self.fold(node, comprehension)
    }

    fn at(&self, node: &IdedExpr) -> At {
        self.parsed.at(node)
    }

    fn refuse<T>(&mut self, node: &IdedExpr, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.mistakes.push(Mistake::new(self.at(node), code, message));
        None
    }

    /// Lowers `node` and reports when it can't be a `wanted`.
    fn lower_as(&mut self, node: &IdedExpr, wanted: &Type, what: &str) -> Option<Expr> {
        let (expr, ty) = self.lower(node)?;
        if ty.fits(wanted) {
            return Some(expr);
        }
        self.refuse(node, "type-mismatch", format!("{what} must be {wanted:#}, not {ty:#}"))
    }
}

/// The types that are values of their own, as in `type(x) == int`.
fn type_name(name: &str) -> Option<&'static str> {
    [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "optional_type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "net.IP",
        "net.CIDR",
    ]
    .into_iter()
    .find(|known| *known == name)
}

/// The dotted name that a chain of selections spells.
fn dotted(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Syntax::Ident(name) => Some(name.clone()),
        Syntax::Select(select) if !select.test => {
            dotted(&select.operand).map(|operand| format!("{operand}.{}", select.field))
        }
        _ => None,
    }
}

fn first_field(namespace: &str) -> &'static str {
    match namespace {
        "request" => "method",
        "identity" => "subject",
        "source" | "destination" => "principal",
        "connection" => "mtls",
        "grpc" => "service",
        "response" => "code",
        _ => "id",
    }
}

#[cfg(test)]
pub use call::function_names;

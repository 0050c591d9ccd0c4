//! CEL text to the `cel` crate's syntax tree, with the place of every node.
//!
//! The only file that calls that crate's parser; its evaluator is not used at all.

use std::cell::OnceCell;

use cel::common::ast::{Expr, IdedExpr, SelectExpr, SourceInfo};
use cel::parser::{ParseError, PrattParser};

use super::{At, Mistake};

mod bound;
mod hint;

use bound::Excess;

/// Longer conditions belong into several rules; the bound also keeps every later recursion shallow.
const MAX_LEN: usize = 8 << 10;

/// A parsed expression and where its nodes stand.
pub struct Parsed {
    pub root: IdedExpr,
    text: String,
    /// Found when a mistake first asks: most expressions have none.
    places: OnceCell<Places>,
}

/// Byte ranges by node id.
struct Places(std::sync::Arc<SourceInfo>);

pub fn parse(text: &str) -> Result<Parsed, Vec<Mistake>> {
    if text.len() > MAX_LEN {
        let message = format!("the expression is longer than {MAX_LEN} bytes");
        return Err(vec![Mistake::new(At::default(), "expression-too-long", message)]);
    }
    match bound::excess(text) {
        None => {}
        Some(Excess::Deep(at)) => {
            return Err(vec![Mistake::new(at, "expression-too-deep", "the expression nests too deeply")]);
        }
        Some(Excess::Large(at)) => {
            let mistake = Mistake::new(at, "expression-too-long", "the expression has too many parts");
            return Err(vec![mistake.help("what follows belongs into another rule, or into the data")]);
        }
    }
    match parser().parse(text) {
        Ok(root) => Ok(Parsed { root, text: text.to_owned(), places: OnceCell::new() }),
        Err(errors) => match hint::slips(text) {
            slips if slips.is_empty() => {
                Err(errors.errors.iter().map(|error| syntax_mistake(text, error)).collect())
            }
            slips => Err(slips),
        },
    }
}

/// The tree of an expression that compiles, for those who reason about it; `None` for text that does not parse.
pub fn syntax(text: &str) -> Option<IdedExpr> {
    parser().parse(text).ok()
}

fn parser() -> PrattParser {
    PrattParser::new().enable_optional_syntax(true).enable_ident_escape_syntax(true)
}

/// The parser hands out the nodes' places only together with an error. Ids are given in reading order, so a
/// second parse with a stray comma behind the expression has the same ids, and their places.
fn places(text: &str) -> Places {
    let with_error = parser().parse(&format!("{text}\n,"));
    let info = with_error.err().and_then(|errors| errors.errors.into_iter().find_map(|e| e.source_info));
    Places(info.unwrap_or_default())
}

fn syntax_mistake(text: &str, error: &ParseError) -> Mistake {
    let line_start = match usize::try_from(error.pos.0).unwrap_or(0) {
        0 | 1 => 0,
        line => text.split_inclusive('\n').take(line - 1).map(str::len).sum(),
    };
    let column = usize::try_from(error.pos.1).unwrap_or(1).saturating_sub(1);
    let at = At { offset: (line_start + column).min(text.len()), len: 1 };
    let message =
        error.msg.trim_start_matches("Syntax error: ").replace('\'', "`").replace("<EOF>", "the end");
    Mistake::new(at, "invalid-expression", lower_first(&message))
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Parsed {
    /// Where `node` stands: for a selection, from its first name to its last.
    pub fn at(&self, node: &IdedExpr) -> At {
        let places = self.places.get_or_init(|| places(&self.text));
        let Some((start, stop)) = places.0.offset_for(node.id) else { return At::default() };
        let (start, stop) = (widen(start), widen(stop));
        match &node.expr {
            Expr::Select(SelectExpr { operand, field, test: false }) => {
                let from = self.at(operand).offset.min(start);
                At { offset: from, len: start + 1 + field.len() - from }
            }
            Expr::Call(call) => {
                let first =
                    call.target.as_deref().or_else(|| call.args.first().filter(|_| is_operator(call)));
                let from = first.map_or(start, |first| self.at(first).offset.min(start));
                At { offset: from, len: stop.max(from + 1) - from }
            }
            _ => At { offset: start, len: stop.max(start + 1) - start },
        }
    }
}

fn is_operator(call: &cel::common::ast::CallExpr) -> bool {
    call.func_name.contains('_') && !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn widen(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

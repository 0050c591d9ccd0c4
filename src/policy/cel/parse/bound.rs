//! Bounds an expression's depth and size before it is parsed: the parser recurses, copies chains of calls, and takes its
//! time, without a limit of its own for every form.

use cel::parser::pratt_parser::{Lexer, TokenKind};

use crate::policy::cel::At;

/// How deep an expression may be. Evaluation has its own limit; this one counts what may nest, so that a call of a
/// method counts twice: what the parser takes grows with the square of it.
const MAX_DEPTH: usize = 100;

/// How much an expression may have in it, in units of about 150 ns of parsing and compiling it: 0.8 ms in all.
const MAX_SIZE: usize = 5_000;
/// What `&&`, `||` and calls cost beyond other parts.
const HEAVY: usize = 5;

/// Why an expression is not parsed, and where it gets so.
pub(super) enum Excess {
    Deep(At),
    Large(At),
}

/// What is open between two brackets.
#[derive(Default)]
struct Level {
    /// Operators, selections and calls in a row: they make a tree as deep as they are many.
    chain: usize,
    /// Conditionals nest to the right, over `&&` and `||` too.
    conditionals: usize,
}

/// Where the expression gets too deep or too large, if it does.
pub(super) fn excess(text: &str) -> Option<Excess> {
    let mut lexer = Lexer::new(text);
    let (mut outer, mut level) = (Vec::new(), Level::default());
    let (mut outer_depth, mut size) = (0, 0);
    loop {
        let token = lexer.lex();
        let at = At { offset: token.start, len: token.end - token.start };
        size += match token.kind {
            TokenKind::TokWhitespace | TokenKind::TokComment => 0,
            TokenKind::TokLogicalAnd | TokenKind::TokLogicalOr | TokenKind::TokLeftParen => 1 + HEAVY,
            _ => 1,
        };
        if size > MAX_SIZE {
            return Some(Excess::Large(at));
        }
        match token.kind {
            TokenKind::TokEnd | TokenKind::TokError => return None,
            TokenKind::TokLeftParen | TokenKind::TokLeftBracket | TokenKind::TokLeftBrace => {
                level.chain += 1;
                outer_depth += level.chain + level.conditionals;
                outer.push(std::mem::take(&mut level));
            }
            TokenKind::TokRightParen | TokenKind::TokRightBracket | TokenKind::TokRightBrace => {
                level = outer.pop().unwrap_or_default();
                outer_depth -= level.chain + level.conditionals;
            }
            TokenKind::TokComma => level = Level::default(),
            // The parser balances these, so that their number does not deepen the tree.
            TokenKind::TokLogicalAnd | TokenKind::TokLogicalOr => level.chain = 0,
            TokenKind::TokQuestion => level.conditionals += 1,
            TokenKind::TokWhitespace
            | TokenKind::TokComment
            | TokenKind::TokNull
            | TokenKind::TokFalse
            | TokenKind::TokTrue
            | TokenKind::TokInt
            | TokenKind::TokUint
            | TokenKind::TokFloat
            | TokenKind::TokString
            | TokenKind::TokBytes
            | TokenKind::TokIdent
            | TokenKind::TokReservedWord
            | TokenKind::TokColon => {}
            _ => level.chain += 1,
        }
        if outer_depth + level.chain + level.conditionals > MAX_DEPTH {
            return Some(Excess::Deep(at));
        }
    }
}

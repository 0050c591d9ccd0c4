//! What a pattern costs to compile, known before it is compiled. A few letters can stand for much: `\w` is 770 ranges,
//! repetitions multiply, and without regard to case every letter of a class is looked up.

use std::convert::Infallible;

use regex_syntax::ast::{Ast, ClassPerlKind, ClassSetItem, Flag, GroupKind, Visitor};
use regex_syntax::hir::{Class, Hir, HirKind};

/// What compiling the patterns of one expression may cost in all, in units of about 10 ns.
pub const COMPILING: usize = 40_000;

/// What any pattern costs, however small.
pub const FIXED: usize = 600;

/// What a class like `\w` or `\p{L}` costs to read.
const UNICODE_CLASS: usize = 120;
/// What it costs when case is ignored.
const FOLDED_CLASS: usize = 9_000;
/// How many letters of a range are folded in a unit.
const FOLDED_PER_UNIT: usize = 16;

/// What is known of a pattern before it is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// What compiling it costs, in units of about 10 ns.
    pub cost: usize,
    /// In how many of its places a search can be at once, at most.
    pub places: usize,
}

/// What it costs to read the classes of a pattern, in the same units.
pub fn classes(pattern: &Ast) -> usize {
    let counted = regex_syntax::ast::visit(pattern, Classes::default());
    counted.map_or(usize::MAX, |classes| if classes.folds { classes.folded } else { classes.plain })
}

/// Adds up what classes cost, with and without regard to case.
#[derive(Default)]
struct Classes {
    plain: usize,
    folded: usize,
    /// Whether case is ignored in any part of the pattern.
    folds: bool,
    /// How many classes are open: each goes over all that is in it.
    depth: usize,
}

impl Classes {
    fn add(&mut self, plain: usize, folded: usize) {
        self.plain = self.plain.saturating_add(plain.saturating_mul(self.depth.max(1)));
        self.folded = self.folded.saturating_add(folded.saturating_mul(self.depth.max(1)));
    }

    fn flags(&mut self, flags: &regex_syntax::ast::Flags) {
        self.folds |= flags.flag_state(Flag::CaseInsensitive) == Some(true);
    }
}

impl Visitor for Classes {
    type Output = Self;
    type Err = Infallible;

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags);
                }
            }
            Ast::ClassUnicode(_) => self.add(UNICODE_CLASS, FOLDED_CLASS),
            // These are the same without regard to case.
            Ast::ClassPerl(_) => self.add(UNICODE_CLASS, UNICODE_CLASS),
            Ast::ClassBracketed(_) => self.depth += 1,
            _ => {}
        }
        Ok(())
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), Infallible> {
        if matches!(ast, Ast::ClassBracketed(_)) {
            self.depth = self.depth.saturating_sub(1);
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        match item {
            ClassSetItem::Unicode(_) => self.add(UNICODE_CLASS, FOLDED_CLASS),
            ClassSetItem::Perl(class) if class.kind == ClassPerlKind::Word => {
                self.add(UNICODE_CLASS, FOLDED_CLASS);
            }
            ClassSetItem::Perl(_) => self.add(UNICODE_CLASS, UNICODE_CLASS * 2),
            ClassSetItem::Range(range) => {
                let letters = u32::from(range.end.c).saturating_sub(u32::from(range.start.c));
                self.add(1, 2 + usize::try_from(letters).unwrap_or(usize::MAX) / FOLDED_PER_UNIT);
            }
            ClassSetItem::Bracketed(class) => {
                // What is left out of a class may be nearly all letters there are.
                self.add(1, if class.negated { FOLDED_CLASS } else { 1 });
                self.depth += 1;
            }
            _ => self.add(1, 2),
        }
        Ok(())
    }

    fn visit_class_set_item_post(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if matches!(item, ClassSetItem::Bracketed(_)) {
            self.depth = self.depth.saturating_sub(1);
        }
        Ok(())
    }
}

impl Size {
    /// The size of a pattern with its repetitions written out.
    pub fn of(pattern: &Hir) -> Self {
        match pattern.kind() {
            HirKind::Empty | HirKind::Look(_) => Self { cost: 2, places: 1 },
            HirKind::Literal(literal) => Self { cost: literal.0.len(), places: literal.0.len() },
            HirKind::Class(class) => Self::of_class(class),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                parts.iter().map(Self::of).fold(Self { cost: 0, places: 0 }, |sum, part| Self {
                    cost: sum.cost.saturating_add(part.cost).saturating_add(2),
                    places: sum.places.saturating_add(part.places),
                })
            }
            HirKind::Repetition(repetition) => {
                let Self { cost, places } = Self::of(&repetition.sub);
                // Without an upper bound, the last of those that must be there is repeated.
                let times = repetition.max.unwrap_or(repetition.min).max(1);
                let times = usize::try_from(times).unwrap_or(usize::MAX);
                Self {
                    cost: cost.saturating_add(4).saturating_mul(times),
                    places: places.saturating_add(1).saturating_mul(times),
                }
            }
        }
    }

    /// Beyond ASCII a range is several sequences of bytes.
    fn of_class(class: &Class) -> Self {
        match class {
            Class::Unicode(class) if !class.is_ascii() => {
                Self { cost: 80 + 10 * class.ranges().len(), places: 2 }
            }
            Class::Unicode(class) => Self { cost: 8 + class.ranges().len(), places: 1 },
            Class::Bytes(class) => Self { cost: 8 + class.ranges().len(), places: 1 },
        }
    }
}

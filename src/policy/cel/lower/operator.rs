//! Operators: arithmetic, comparison, logic, membership and indexing.

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr, LiteralValue, operators};

use super::{Lowered, Lowering};
use crate::policy::cel::expression::{Expr, Literal, Operator};
use crate::policy::cel::types::Type;

impl Lowering<'_> {
    /// `None` when `call` is a function, not an operator.
    pub(super) fn operator(&mut self, node: &IdedExpr, call: &CallExpr) -> Option<Lowered> {
        let operator = match call.func_name.as_str() {
            operators::ADD => Operator::Add,
            operators::SUBSTRACT => Operator::Subtract,
            operators::MULTIPLY => Operator::Multiply,
            operators::DIVIDE => Operator::Divide,
            operators::MODULO => Operator::Remainder,
            operators::EQUALS => Operator::Equal,
            operators::NOT_EQUALS => Operator::NotEqual,
            operators::LESS => Operator::Less,
            operators::LESS_EQUALS => Operator::LessOrEqual,
            operators::GREATER => Operator::Greater,
            operators::GREATER_EQUALS => Operator::GreaterOrEqual,
            operators::IN => Operator::In,
            _ => return self.other_operator(node, call),
        };
        let [left, right] = call.args.as_slice() else { return Some(None) };
        Some(self.binary(node, operator, left, right))
    }

    fn other_operator(&mut self, node: &IdedExpr, call: &CallExpr) -> Option<Lowered> {
        let lowered = match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => self.logic(left, right).map(Expr::All),
            (operators::LOGICAL_OR, [left, right]) => self.logic(left, right).map(Expr::Any),
            (operators::LOGICAL_NOT, [operand]) => self
                .lower_as(operand, &Type::Bool, "what `!` negates")
                .map(|operand| Expr::Not(Box::new(operand))),
            (operators::NEGATE, [operand]) => return Some(self.negate(node, operand)),
            (operators::CONDITIONAL, [test, yes, no]) => return Some(self.conditional(test, yes, no)),
            (operators::INDEX, [operand, index]) => return Some(self.index(node, operand, index)),
            (operators::OPT_SELECT, [operand, field]) => {
                return Some(self.select_optional(node, operand, field));
            }
            (operators::OPT_INDEX, [operand, index]) => {
                return Some(self.index_optional(node, operand, index));
            }
            _ => return None,
        };
        Some(lowered.map(|expr| (expr, Type::Bool)))
    }

    fn logic(&mut self, left: &IdedExpr, right: &IdedExpr) -> Option<Vec<Expr>> {
        let what = "each side of `&&` and `||`";
        let (left, right) = (self.lower_as(left, &Type::Bool, what), self.lower_as(right, &Type::Bool, what));
        Some(vec![left?, right?])
    }

    fn negate(&mut self, node: &IdedExpr, operand: &IdedExpr) -> Lowered {
        let (operand, ty) = self.lower(operand)?;
        match ty {
            Type::Int | Type::Double | Type::Dyn | Type::Duration => {
                Some((Expr::Negate(Box::new(operand)), ty))
            }
            _ => self.refuse(node, "type-mismatch", format!("{ty:#} can't be negated")),
        }
    }

    fn conditional(&mut self, test: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Lowered {
        let test = self.lower_as(test, &Type::Bool, "what stands before `?`");
        let (yes, no) = (self.lower(yes), self.lower(no));
        let (test, (yes, yes_type), (no, no_type)) = (test?, yes?, no?);
        Some((Expr::Conditional(Box::new((test, yes, no))), yes_type.join(no_type)))
    }

    fn index(&mut self, node: &IdedExpr, operand: &IdedExpr, index: &IdedExpr) -> Lowered {
        if let (Some(response), Syntax::Literal(LiteralValue::String(name))) =
            (self.headers_map(operand), &index.expr)
        {
            return Some(self.header(response, name.inner(), false));
        }
        let (lowered, index_lowered) = (self.lower(operand), self.lower(index));
        let ((operand, ty), (index_expr, index_type)) = (lowered?, index_lowered?);
        self.entry_by(&operand, &index_expr);
        if let Type::Optional(inside) = ty {
            let value = self.indexed(node, &inside, index, &index_type)?;
            return Some((Expr::IndexOptional(Box::new((operand, index_expr))), Type::optional(value)));
        }
        let value = self.indexed(node, &ty, index, &index_type)?;
        Some((Expr::Index(Box::new((operand, index_expr))), value))
    }

    /// Notes what is read of the operand where the key is a literal text.
    pub(super) fn entry_by(&mut self, operand: &Expr, key: &Expr) {
        if let Expr::Literal(Literal::Text(name)) = key {
            self.reads.entry_of(operand, name);
        }
    }

    /// The type of `operand[index]`.
    pub(super) fn indexed(
        &mut self,
        node: &IdedExpr,
        operand: &Type,
        index: &IdedExpr,
        index_type: &Type,
    ) -> Option<Type> {
        let (wanted, value) = match operand {
            Type::Dyn => (&Type::Dyn, Type::Dyn),
            Type::List(element) => (&Type::Int, (**element).clone()),
            Type::Map(key, value) => (&**key, (**value).clone()),
            other => return self.refuse(node, "type-mismatch", format!("{other:#} can't be indexed")),
        };
        let fits = index_type.fits(wanted) || (index_type.is_number() && wanted.is_number());
        if !fits {
            let message = format!("the index must be {wanted:#}, not {index_type:#}");
            return self.refuse(index, "type-mismatch", message);
        }
        Some(value)
    }

    fn binary(&mut self, node: &IdedExpr, operator: Operator, left: &IdedExpr, right: &IdedExpr) -> Lowered {
        if let (Operator::In, Syntax::Literal(LiteralValue::String(name)), Some(response)) =
            (operator, &left.expr, self.headers_map(right))
        {
            return Some(self.header(response, name.inner(), true));
        }
        let (left, right) = (self.lower(left), self.lower(right));
        let ((left, left_type), (right, right_type)) = (left?, right?);
        if operator == Operator::In {
            self.entry_by(&right, &left);
        }
        let Some(ty) = result_type(operator, &left_type, &right_type) else {
            let message = format!("`{}` can't take {left_type:#} and {right_type:#}", operator.symbol());
            return self.refuse(node, "type-mismatch", message);
        };
        if let (Operator::In, Expr::List(items)) = (operator, &right) {
            let literals: Option<Vec<Literal>> = items.iter().map(literal_of).collect();
            if let Some(literals) = literals {
                return Some((Expr::InLiterals(Box::new(left), literals), Type::Bool));
            }
        }
        Some((Expr::Binary(operator, Box::new((left, right))), ty))
    }
}

fn literal_of(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Literal(literal) => Some(literal.clone()),
        _ => None,
    }
}

/// The type of `left operator right`; `None` when there is no such operation.
fn result_type(operator: Operator, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Bool, Bytes, Double, Duration, Dyn, Int, List, Map, Text, Timestamp, Uint};
    match operator {
        Operator::Equal | Operator::NotEqual => left.comparable(right).then_some(Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let same = left.fits(right) || (left.is_number() && right.is_number());
            (same && left.is_ordered() && right.is_ordered()).then_some(Bool)
        }
        Operator::In => match right {
            Dyn => Some(Bool),
            List(element) => left.comparable(element).then_some(Bool),
            Map(key, _) => left.comparable(key).then_some(Bool),
            _ => None,
        },
        _ => match (left, right) {
            (Dyn, _) | (_, Dyn) => Some(Dyn),
            (Int, Int) => Some(Int),
            (Uint, Uint) => Some(Uint),
            (Double, Double) if operator != Operator::Remainder => Some(Double),
            (Text, Text) | (Bytes, Bytes) if operator == Operator::Add => Some(left.clone()),
            (List(a), List(b)) if operator == Operator::Add => {
                Some(Type::list(a.as_ref().clone().join(b.as_ref().clone())))
            }
            (Timestamp, Duration) if matches!(operator, Operator::Add | Operator::Subtract) => {
                Some(Timestamp)
            }
            (Duration, Timestamp) if operator == Operator::Add => Some(Timestamp),
            (Duration, Duration) if matches!(operator, Operator::Add | Operator::Subtract) => Some(Duration),
            (Timestamp, Timestamp) if operator == Operator::Subtract => Some(Duration),
            _ => None,
        },
    }
}

impl Operator {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

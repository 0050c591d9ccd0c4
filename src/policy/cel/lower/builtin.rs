//! Functions of the extension libraries: found by name and arguments, with what is literal computed at once.

use cel::common::ast::{Expr as Syntax, IdedExpr};

use super::{Lowered, Lowering, Mistake};
use crate::diagnostic::closest;
use crate::policy::cel::expression::{Expr, Literal};
use crate::policy::cel::function::builtin::{Builtin, Kind, builtins, named};
use crate::policy::cel::function::{format, math, net};
use crate::policy::cel::types::{Type, with_article};

impl Lowering<'_> {
    /// The full name of a function in a library's namespace, as in `math.abs(..)`.
    pub(super) fn library_function(&self, target: &IdedExpr, name: &str) -> Option<String> {
        let Syntax::Ident(namespace) = &target.expr else { return None };
        let hidden = self.locals.iter().any(|(local, _)| local == namespace);
        let is_library = namespace == "cel"
            || builtins().any(|known| known.name.split_once('.').is_some_and(|(name, _)| name == namespace));
        (!hidden && is_library).then(|| format!("{namespace}.{name}"))
    }

    /// A function or method of a library; `None` when no library has one of that name.
    pub(super) fn builtin(
        &mut self,
        node: &IdedExpr,
        name: &str,
        method: bool,
        arguments: &[&IdedExpr],
    ) -> Option<Lowered> {
        named(name, method).next()?;
        if math::is_variadic(name) {
            return Some(self.variadic(node, name, arguments));
        }
        let Some(found) = named(name, method).find(|known| known.parameters.len() == arguments.len()) else {
            return Some(self.wrong_arity(node, name, method, arguments.len()));
        };
        let lowered: Vec<_> = arguments.iter().map(|argument| self.lower(argument)).collect();
        Some(
            lowered
                .into_iter()
                .collect::<Option<_>>()
                .and_then(|lowered| self.apply(found, arguments, lowered)),
        )
    }

    fn wrong_arity<T>(&mut self, node: &IdedExpr, name: &str, method: bool, given: usize) -> Option<T> {
        let own = usize::from(method);
        let counts: Vec<_> =
            named(name, method).map(|known| (known.parameters.len() - own).to_string()).collect();
        let plural = if counts == ["1"] { "" } else { "s" };
        let given = given.saturating_sub(own);
        let message = format!("`{name}` takes {} argument{plural}, not {given}", counts.join(" or "));
        self.refuse(node, "wrong-arguments", message)
    }

    fn apply(
        &mut self,
        found: &'static Builtin,
        nodes: &[&IdedExpr],
        arguments: Vec<(Expr, Type)>,
    ) -> Lowered {
        let (mut exprs, mut types) = (Vec::new(), Vec::new());
        for ((node, kind), (expr, ty)) in nodes.iter().zip(found.parameters).zip(arguments) {
            if !kind.takes(&ty) {
                let message =
                    format!("`{}` takes {} here, not {ty:#}", found.name, with_article(kind.name()));
                return self.refuse(node, "type-mismatch", message);
            }
            let (expr, ty) = self.precomputed(node, *kind, expr, ty)?;
            exprs.push(expr);
            types.push(ty);
        }
        self.check_format(found, nodes, &exprs)?;
        let ty = (found.result)(&types);
        // `ip('10.0.0.1')` is now `ip` of an address, which is that address.
        if let ("ip" | "cidr", false, [Expr::Literal(Literal::Ip(_) | Literal::Cidr(_))]) =
            (found.name, found.method, exprs.as_slice())
        {
            return exprs.pop().map(|expr| (expr, ty));
        }
        Some((Expr::Builtin(found, exprs), ty))
    }

    /// A literal address or network is parsed here, once.
    fn precomputed(&mut self, node: &IdedExpr, kind: Kind, expr: Expr, ty: Type) -> Lowered {
        let Expr::Literal(Literal::Text(text)) = &expr else { return Some((expr, ty)) };
        let parsed = match kind {
            Kind::IpOrText => net::parse_ip(text).map(|ip| (Expr::Literal(Literal::Ip(ip)), Type::Ip)),
            Kind::CidrOrText => {
                net::parse_cidr(text).map(|net| (Expr::Literal(Literal::Cidr(net)), Type::Cidr))
            }
            _ => return Some((expr, ty)),
        };
        let (what, example) = match kind {
            Kind::IpOrText => ("an IP address", "`10.0.0.1` or `2001:db8::1`"),
            _ => ("a network in CIDR notation", "`10.0.0.0/8`"),
        };
        if parsed.is_none() {
            let message = format!("`{text}` is not {what}");
            let mistake = Mistake::new(self.at(node), "invalid-literal", message);
            self.mistakes.push(mistake.help(format!("write {what}, as in {example}")));
        }
        parsed
    }

    /// A literal template must be right, and have a value for each clause of it.
    fn check_format(&mut self, found: &Builtin, nodes: &[&IdedExpr], exprs: &[Expr]) -> Option<()> {
        let (Some(node), [Expr::Literal(Literal::Text(template)), values]) = (nodes.first(), exprs) else {
            return Some(());
        };
        if found.name != "format" {
            return Some(());
        }
        match (format::clauses(template), values) {
            (Err(problem), _) => self.refuse(node, "invalid-literal", format!("in the template: {problem}")),
            (Ok(clauses), Expr::List(items)) if clauses > items.len() => {
                let message =
                    format!("the template has {clauses} clauses, but there are {} values", items.len());
                self.refuse(node, "wrong-arguments", message)
            }
            _ => Some(()),
        }
    }

    /// `math.greatest(1, 2, 3)` is `math.greatest([1, 2, 3])`.
    fn variadic(&mut self, node: &IdedExpr, name: &str, arguments: &[&IdedExpr]) -> Lowered {
        let found = named(name, false).next()?;
        let lowered: Vec<_> = arguments.iter().map(|argument| self.lower(argument)).collect();
        let mut lowered: Vec<_> = lowered.into_iter().collect::<Option<_>>()?;
        let is_list = |ty: &Type| matches!(ty, Type::List(_));
        if let ([argument], [(_, ty)]) = (arguments, lowered.as_slice())
            && is_list(ty)
        {
            return lowered.pop().and_then(|list| self.apply(found, &[argument], vec![list]));
        }
        let mut types = lowered.iter().zip(arguments).map(|((_, ty), node)| (ty, node));
        if let Some((ty, node)) = types.find(|(ty, _)| !Kind::Number.takes(ty)) {
            return self.refuse(node, "type-mismatch", format!("`{name}` takes numbers, not {ty:#}"));
        }
        if lowered.is_empty() {
            return self.refuse(node, "wrong-arguments", format!("`{name}` takes at least one number"));
        }
        let ty = lowered.iter().map(|(_, ty)| ty.clone()).reduce(Type::join).unwrap_or(Type::Dyn);
        let list = Expr::List(lowered.into_iter().map(|(expr, _)| expr).collect());
        Some((Expr::Builtin(found, vec![list]), ty))
    }

    /// A library function, or a method, that is not known: the closest name that is.
    pub(super) fn closest_builtin(name: &str, method: bool) -> Option<&'static str> {
        closest(name, builtins().filter(|known| known.method == method).map(|known| known.name))
    }
}

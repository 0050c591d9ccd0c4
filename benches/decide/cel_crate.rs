//! The same condition evaluated by the `cel` crate, in the form that its public interface makes fastest: the
//! expression parsed before, every attribute a value built before that borrows its text from the call, handed out
//! by a resolver that knows each by its whole name, and the result not copied. Building the values is not counted.

use cel::common::types::{CelBool, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::{Context, VariableResolver};
use cel::parser::PrattParser;
use cel::{IdedExpr, Value};
use portcullis::identity::Identity;
use portcullis::request::Request;
use serde_json::Value as Json;

use crate::policies::CONDITION;

/// The parsed condition and what it reads.
pub struct Prepared<'a> {
    expression: IdedExpr,
    call: Values<'a>,
}

struct Values<'a> {
    method: CelString<'a>,
    url_path: CelString<'a>,
    roles: CelList<'a>,
    audiences: CelList<'a>,
}

impl VariableResolver for Values<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let value: &dyn Val = match name {
            "request.method" => &self.method,
            "request.url_path" => &self.url_path,
            "identity.claims.roles" => &self.roles,
            "identity.claims.aud" => &self.audiences,
            _ => return None,
        };
        Some(CowVal::Borrowed(value))
    }
}

impl<'a> Prepared<'a> {
    pub fn new(request: &'a Request, identity: &'a Identity) -> Result<Self, String> {
        let expression = PrattParser::new().parse(CONDITION).map_err(|errors| errors.to_string())?;
        let call = Values {
            method: request.method.as_str().into(),
            url_path: request.path.url_path().into(),
            roles: texts(identity.claims.get("roles")),
            audiences: texts(identity.claims.get("aud")),
        };
        Ok(Self { expression, call })
    }

    /// Runs `ask` with a function that evaluates the condition on a context made before.
    pub fn with<T>(&self, ask: impl FnOnce(&dyn Fn() -> bool) -> T) -> T {
        let mut context = Context::default();
        context.set_variable_resolver(&self.call);
        ask(&|| {
            let value = Value::resolve_val(&self.expression, &context);
            value.is_ok_and(|value| value.downcast_ref::<CelBool>().is_some_and(|holds| *holds.inner()))
        })
    }
}

fn texts(list: Option<&Json>) -> CelList<'_> {
    let items = list.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    CelList::from(items.map(|text| Box::new(CelString::from(text)) as Box<dyn Val + '_>).collect::<Vec<_>>())
}

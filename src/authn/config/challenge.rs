//! `identity.challenge`: what callers without an accepted credential are told.

use crate::challenge::{Challenge, Login};
use crate::document::{Node, Reader};
use crate::outbound::{UrlFault, checked_url};

use super::non_empty;

/// Reads the section.
pub fn read(node: &Node, reader: &mut Reader) -> Option<Challenge> {
    let mut fields = reader.fields(node, "`challenge`")?;
    let realm =
        fields.optional("realm").map_or(Some(None), |node| visible(node, "`realm`", reader).map(Some));
    let metadata =
        fields.optional("resource_metadata").map_or(Some(None), |node| url(node, reader).map(Some));
    let login = fields.optional("login").map_or(Some(None), |node| login(node, reader).map(Some));
    fields.close(reader);
    Some(Challenge { realm: realm?, resource_metadata: metadata?, login: login?, ..Challenge::default() })
}

fn login(node: &Node, reader: &mut Reader) -> Option<Login> {
    let mut fields = reader.fields(node, "`login`")?;
    let to = fields.required("url", reader).and_then(|node| url(node, reader));
    let parameter = fields.optional("return_parameter").map_or(Some(None), |node| {
        non_empty(node, "`return_parameter`", reader).map(|name| Some(name.to_owned()))
    });
    fields.close(reader);
    Some(Login { url: to?, return_parameter: parameter? })
}

/// What may stand in a header: a caller never chooses it, but a line break would end the header all the same.
fn visible(node: &Node, what: &str, reader: &mut Reader) -> Option<String> {
    let text = non_empty(node, what, reader)?;
    if !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        reader.error(node.span, "invalid-text", format!("{what} must be printable ASCII"));
        return None;
    }
    Some(text.to_owned())
}

fn url(node: &Node, reader: &mut Reader) -> Option<String> {
    let text = visible(node, "the URL", reader)?;
    let fault = match checked_url(&text, false) {
        Ok(_) => return Some(text),
        Err(fault) => fault,
    };
    let message = match fault {
        UrlFault::NotHttp | UrlFault::Insecure | UrlFault::Metadata => {
            format!("`{text}` is not an `https://` URL")
        }
        UrlFault::Credentials => "the URL must not hold a user name or password".to_owned(),
    };
    reader.error(node.span, fault.code(), message);
    None
}

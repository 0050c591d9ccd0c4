//! What the commands that speak to a running server share.

use serde_json::Value;

use crate::cli::client::Failure;
pub use crate::cli::connection::{Connection, items, on_server, text};

impl Connection {
    /// Asks for a change, and tells what is active after it.
    pub async fn change(&self, verb: &str, body: &Value) -> Result<(), Failure> {
        let active = self.open()?.post(&format!("/api/v1/bundles:{verb}"), body).await?;
        self.print(&active, |active| {
            let pinned = if active.get("pinned") == Some(&Value::Bool(true)) { " and pinned" } else { "" };
            format!("{} is active{pinned}\n", described(active))
        })
    }
}

/// `shop 1.2.0 (revision 0123456789abcdef)`, or the revision alone for plain files.
pub fn described(bundle: &Value) -> String {
    let (name, version, revision) = (text(bundle, "name"), text(bundle, "version"), text(bundle, "revision"));
    match name.is_empty() {
        true => format!("revision {revision}"),
        false => format!("{name} {version} (revision {revision})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_is_made_visible() {
        let bundle = json!({"name": "sh\u{202e}op", "version": "1.0.0", "revision": "abc"});
        assert_eq!(described(&bundle), "sh\\u{202e}op 1.0.0 (revision abc)");
        assert_eq!(described(&json!({"revision": "abc"})), "revision abc");
    }
}

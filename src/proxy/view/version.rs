//! Envoy's version.

use std::fmt;
use std::str::FromStr;

use crate::proxy::tree::At;

/// `1.40.0`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl Version {
    /// What a `node` says of the program that it is.
    pub(super) fn of_node(node: &At<'_>) -> Option<Self> {
        let build = node.at(&["user_agent_build_version", "version"]);
        let number = |name: &str| build.get(name).number();
        match (number("major_number"), number("minor_number")) {
            (Some(major), Some(minor)) => {
                Some(Self { major, minor, patch: number("patch").unwrap_or_default() })
            }
            _ => node.get("user_agent_version").text()?.parse().ok(),
        }
    }

    /// What `/server_info` says: `b5ca88acee3453c9459474b8f22215796eff4dde/1.40.0/Clean/RELEASE/BoringSSL`.
    pub(super) fn of_server_info(info: &At<'_>) -> Option<Self> {
        info.get("version").text()?.split('/').find_map(|part| part.parse().ok())
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `1.40.0`, `v1.40.0` and `1.40.0-dev`.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split(['-', '+']).next().unwrap_or_default();
        let numbers: Vec<_> = plain.split('.').map(str::parse).collect();
        match numbers.as_slice() {
            [Ok(major), Ok(minor), Ok(patch)] => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => Err(format!("`{text}` is no version: write it as `1.40.0`")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

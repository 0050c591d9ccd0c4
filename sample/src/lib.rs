//! The sample set-up: an upstream that is worth protecting, an identity provider, and what starts Envoy and Portcullis
//! around them. `make run` runs it, and the tests of the other crates are built from the same parts.
//!
//! Knows Portcullis as a binary and by its interface on the wire only; it never links the library.

pub mod address;
pub mod child;
pub mod clock;
pub mod envoy;
pub mod guide;
pub mod idp;
pub mod portcullis;
pub mod postgres;
pub mod serving;
pub mod setup;
pub mod template;
pub mod tour;
pub mod upstream;
pub mod wire;

use std::path::Path;

/// The root of this repository, as it was when this was built.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

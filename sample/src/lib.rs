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

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the checkout that this is run in, or outside of any the one that it was built in.
pub fn repository() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = std::env::current_dir().unwrap_or_default();
        let is_root = |folder: &&Path| folder.join("sample/portcullis.yaml").is_file();
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().find(is_root).or(built.parent()).unwrap_or(built).to_owned()
    });
    &ROOT
}

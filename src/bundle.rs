//! Where policies come from: files on disk.
//!
//! Knows nothing of what the files say.

mod load;

pub use load::{LoadError, cases, read};

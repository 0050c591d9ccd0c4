//! Field paths such as `**.card.number`.

/// A path to fields of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    pub text: String,
}

/// Why a field path can't be read; `column` counts from 1 within it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    pub column: usize,
    pub message: String,
}

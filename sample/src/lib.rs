//! The sample set-up.

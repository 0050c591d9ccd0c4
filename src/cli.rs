//! The commands, one module each: arguments in, exit code out.

pub mod mask;

//! Newline-delimited JSON: a document on each line. Lines without one (white space alone) pass.

use std::sync::Arc;

use memchr::memchr;

use super::json::Json;
use super::plan::Plan;
use super::unmaskable::{Limits, Unmaskable};

/// The rewriter of one body.
#[derive(Debug)]
pub struct Lines {
    json: Json,
}

impl Lines {
    pub fn new(plan: Arc<Plan>, limits: Limits) -> Self {
        Self { json: Json::new(plan, limits) }
    }

    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        while let Some((line, rest)) = memchr(b'\n', chunk).and_then(|end| chunk.split_at_checked(end)) {
            self.json.push(line, out)?;
            self.finish(out)?;
            out.push(b'\n');
            self.json.restart(1);
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.json.push(chunk, out)
    }

    /// The last line needs no newline.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.json.is_blank() { Ok(()) } else { self.json.finish(out) }
    }

    pub fn masked_fields(&self) -> u64 {
        self.json.masked_fields()
    }
}

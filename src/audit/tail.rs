//! The end of the trail, for people who look at it while it is written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// How much of the file's end is read, in bytes.
const END: u64 = 1 << 20;

/// The newest records of the trail at `path`, the newest first: at most `limit`, and of its last mebibyte only. A line that
/// is not whole yet is left out; a trail that is not there yet has none. Blocks.
pub fn newest(path: &Path, limit: usize) -> io::Result<Vec<Value>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    // A pipe or a device has no end to go to.
    if !file.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let start = file.seek(SeekFrom::End(0))?.saturating_sub(END);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let lines = end.split(|byte| *byte == b'\n').rev();
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).take(limit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_records_come_first_and_halves_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        assert!(newest(&path, 9).unwrap().is_empty());
        let long = format!("{{\"seq\":0,\"x\":\"{}\"}}\n", "x".repeat(1 << 20));
        std::fs::write(&path, format!("{long}{{\"seq\":1}}\n{{\"seq\":2}}\n{{\"seq\":")).unwrap();
        let numbers = |limit| {
            let records = newest(&path, limit).unwrap();
            records.iter().map(|record| record["seq"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(9), [2, 1]);
        assert_eq!(numbers(1), [2]);
        assert!(newest(Path::new("/dev/null"), 9).unwrap().is_empty());
    }
}

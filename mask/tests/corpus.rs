//! The kept corpus of the fuzz targets holds, on any compiler. `make fuzz` looks for more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests panic")]

use std::path::Path;

#[path = "../../fuzz/checks.rs"]
mod checks;

fn check_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        // As it was found, and with other choices of rules.
        check(&input);
        for choice in (0..=255).step_by(37) {
            if let Some((_, rest)) = input.split_first() {
                check(&[&[choice], rest].concat());
            }
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn the_kept_json_holds() {
    check_all("json", checks::json);
}

#[test]
fn the_kept_lines_hold() {
    check_all("ndjson", checks::ndjson);
}

#[test]
fn the_kept_events_hold() {
    check_all("sse", checks::sse);
}

#[test]
fn the_kept_text_holds() {
    check_all("text", checks::text);
}

#[test]
fn the_kept_values_are_found_in_json_as_in_text() {
    check_all("detect", checks::detect);
}

#[test]
fn the_kept_forms_hold() {
    check_all("form", checks::form);
}

#[test]
fn the_kept_messages_hold() {
    check_all("grpc", checks::grpc);
}

#[test]
fn the_kept_encodings_hold() {
    check_all("coding", checks::coding);
}

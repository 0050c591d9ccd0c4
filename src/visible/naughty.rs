//! Texts that were made to break what reads, shows or records them, for tests.

const LISTS: [&str; 2] = [
    include_str!("../../tests/naughty-strings/blns.json"),
    include_str!("../../tests/naughty-strings/own.json"),
];

/// All of them.
pub fn strings() -> Vec<String> {
    LISTS.into_iter().flat_map(|list| serde_json::from_str::<Vec<String>>(list).unwrap()).collect()
}

use super::*;

#[test]
fn ignored_paths_end_at_a_part_of_the_path() {
    let ignored = |text: &str| text.parse::<Ignored>();
    let at = ignored("fail-open@listeners[1]").unwrap();
    for (rule, path, covered) in [
        ("fail-open", "listeners[1].name", true),
        ("fail-open", "listeners[1]", true),
        ("fail-open", "listeners[1][0]", true),
        ("fail-open", "listeners[10].name", false),
        ("fail-open", "listeners", false),
        ("lossy-body", "listeners[1]", false),
    ] {
        assert_eq!(at.covers(rule, path), covered, "{rule} {path}");
    }
    assert!(ignored("fail-open").unwrap().covers("fail-open", "anywhere"));
    assert!(ignored("fail-opne").unwrap_err().contains("did you mean `fail-open`?"));
    assert!(ignored("@a").is_err());
}

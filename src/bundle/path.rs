//! The paths that files have in a bundle, and how files from elsewhere get theirs.
//!
//! The rule is narrow on purpose: what every system reads alike, and what nothing can unpack to somewhere else.

use std::collections::BTreeSet;
use std::path::{Component, Path};

/// Where all policies and cases lie.
const FOLDER: &str = "policies/";
/// In bytes; ustar keeps 100 for the end of a path and 155 for its beginning.
const MAX_LEN: usize = 255;
const MAX_NAME: usize = 100;

/// What is wrong with the path of a policy or a case, in words that complete "the path ...".
pub fn check(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix(FOLDER) else { return Err("does not begin with `policies/`") };
    if path.len() > MAX_LEN || !fits_ustar(path) {
        return Err("is too long");
    }
    for segment in rest.split('/') {
        if segment.is_empty() || segment.starts_with('.') {
            return Err("has an empty part, or one that begins with a dot");
        }
        if !segment.bytes().all(is_plain) {
            return Err("has other characters than ASCII letters, digits and `._-+@=,`");
        }
    }
    if is_yaml(path) { Ok(()) } else { Err("does not end in `.yaml` or `.yml`") }
}

/// Whether the file holds test cases rather than policies.
pub fn is_cases(path: &str) -> bool {
    path.ends_with(".cases.yaml") || path.ends_with(".cases.yml")
}

/// The same for paths that differ in case only, which some file systems take for one.
pub fn fold(path: &str) -> String {
    path.to_ascii_lowercase()
}

/// The path in a bundle for each of `files` (policies, then cases), all of them valid and different: their own below
/// the folder that they share, so that it does not matter where that folder lies. A character that bundles don't hold
/// becomes `_`; a path that does not fit, or is taken, becomes `policies/file-N.yaml`.
pub fn layout(policies: &[&str], cases: &[&str]) -> (Vec<String>, Vec<String>) {
    let split: Vec<Vec<String>> = policies.iter().chain(cases).map(|file| segments(file)).collect();
    let shared = shared_folders(&split);
    let mut taken = BTreeSet::new();
    // Goes on where it stopped, so that many files without a path of their own cost no more than few.
    let mut numbers = 1_u64..;
    let mut place = |segments: &Vec<String>, cases: bool| {
        let own = segments.get(shared..).unwrap_or_default().join("/");
        let fits = |path: &String| check(path).is_ok() && is_cases(path) == cases;
        let ending = if cases { ".cases.yaml" } else { ".yaml" };
        let own = [format!("{FOLDER}{own}"), format!("{FOLDER}{own}.policy{ending}")].into_iter();
        let numbered = numbers.by_ref().map(|number| format!("{FOLDER}file-{number}{ending}"));
        own.chain(numbered).filter(fits).find(|path| taken.insert(fold(path))).unwrap_or_default()
    };
    let (of_policies, of_cases) = split.split_at(policies.len());
    let of_policies = of_policies.iter().map(|segments| place(segments, false)).collect();
    (of_policies, of_cases.iter().map(|segments| place(segments, true)).collect())
}

fn segments(file: &str) -> Vec<String> {
    let plain = |segment: &str| {
        let leading = if segment.starts_with('.') { "_" } else { "" };
        let rest = segment.chars().map(|c| if u8::try_from(c).is_ok_and(is_plain) { c } else { '_' });
        leading.chars().chain(rest).collect()
    };
    let normal = |component| match component {
        Component::Normal(name) => Some(plain(&name.to_string_lossy())),
        _ => None,
    };
    Path::new(file).components().filter_map(normal).collect()
}

/// How many folders all the files have in common, from the root.
fn shared_folders(files: &[Vec<String>]) -> usize {
    let Some((first, rest)) = files.split_first() else { return 0 };
    let shared = |other: &Vec<String>| {
        let folders = first.len().min(other.len()).saturating_sub(1);
        first.iter().zip(other).take(folders).take_while(|(a, b)| a == b).count()
    };
    rest.iter().map(shared).min().unwrap_or_else(|| first.len().saturating_sub(1))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+@=,".contains(&byte)
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// Whether it can be split at a `/` into a beginning and an end that have room.
fn fits_ustar(path: &str) -> bool {
    path.len() <= MAX_NAME
        || path.match_indices('/').any(|(at, _)| at <= MAX_LEN - MAX_NAME && path.len() - at - 1 <= MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_policies_are_taken() {
        let long = format!("policies/{}.yaml", "a".repeat(86));
        let deep = format!("policies/{}/{}.yaml", "a".repeat(140), "b".repeat(90));
        for good in ["policies/a.yaml", "policies/a/b-c_d+e@f=g,h.cases.yml", &long, &deep] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let too_long = format!("policies/{}.yaml", "a".repeat(96));
        let too_deep = format!("policies/{}.yaml", "aaaaaaaaa/".repeat(25));
        for bad in [
            "",
            "a.yaml",
            "/policies/a.yaml",
            "policies",
            "policies/",
            "policies/a.txt",
            "policies/.yaml",
            "policies/../a.yaml",
            "policies/./a.yaml",
            "policies/a/../../b.yaml",
            "policies/..\\a.yaml",
            "policies//a.yaml",
            "./policies/a.yaml",
            "Policies/a.yaml",
            "policies\\a.yaml",
            "C:/policies/a.yaml",
            "policies/C:a.yaml",
            "policies/a\0.yaml",
            "policies/a\n.yaml",
            "policies/ä.yaml",
            "policies/a b.yaml",
            "policies/a\u{202e}.yaml",
            &too_long,
            &too_deep,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_layout_is_the_same_wherever_the_folder_lies() {
        let at = |root: &str| {
            let policies = [format!("{root}a.yaml"), format!("{root}b/c.yml")];
            let cases = [format!("{root}a.cases.yaml")];
            layout(&policies.each_ref().map(String::as_str), &cases.each_ref().map(String::as_str))
        };
        let expected = (
            vec!["policies/a.yaml".to_owned(), "policies/b/c.yml".to_owned()],
            vec!["policies/a.cases.yaml".to_owned()],
        );
        for root in ["", "./", "../", "policies/", "/etc/portcullis/", "/a b/ä/"] {
            assert_eq!(at(root), expected, "{root}");
        }
    }

    #[test]
    fn every_file_gets_a_valid_path_of_its_own() {
        let long = format!("{}.yaml", "x".repeat(300));
        let policies =
            ["x y.yaml", "x_y.yaml", "X_Y.yaml", ".a.yaml", "named", "n.cases", "ü", &long, "file-1.yaml"];
        let cases = ["x y.cases.yaml", "x_y.cases.yaml"];
        let (of_policies, of_cases) = layout(&policies, &cases);
        let all: BTreeSet<String> = of_policies.iter().chain(&of_cases).map(|path| fold(path)).collect();
        assert_eq!(all.len(), policies.len() + cases.len(), "{all:?}");
        for path in of_policies.iter().chain(&of_cases) {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert!(of_policies.iter().all(|path| !is_cases(path)), "{of_policies:?}");
        assert!(of_cases.iter().all(|path| is_cases(path)));
        assert_eq!(of_policies[0], "policies/x_y.yaml");
        assert_eq!(of_policies[4], "policies/named.policy.yaml");
    }
}

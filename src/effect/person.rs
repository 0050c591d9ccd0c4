//! When two names are of one human being.
//!
//! There are two questions, and each errs on its own side. Who gets a right by a name must have that name; who is to be
//! kept from speaking twice, or for themselves, is the same person however the name is spelled.

use unicode_normalization::UnicodeNormalization;

use crate::visible::is_deceptive;

/// Whether what is given to the person `a` is given to `b`: mail addresses come in any case, and nothing else may differ.
pub fn same_person(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.trim().to_lowercase();
    plain(a) == plain(b)
}

/// The same for every way to write one person: characters in any form of Unicode (NFKC) and in any case, without those
/// that nobody sees. Empty for a name that says nothing. Letters of two alphabets that look alike stay two.
pub fn person_key(person: &str) -> String {
    let seen: String = person.nfkc().filter(|c| !is_deceptive(*c)).collect();
    // By way of upper case, one letter has one form: `ß` is `ss`, a final sigma a sigma.
    let folded: String = seen.to_uppercase().to_lowercase().nfkc().collect();
    folded.trim().to_owned()
}

/// The person that a credential names; `None` for a name that says nothing.
pub fn named_person(name: String) -> Option<String> {
    (!person_key(&name).is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_key_however_the_name_is_written() {
        for (name, other) in [
            ("bob@example.com", " BOB@Example.com "),
            ("jos\u{e9}@example.com", "jose\u{301}@example.com"),
            ("bob@example.com", "bob\u{200b}@example.com"),
            ("bob@example.com", "\u{feff}bob@exa\u{ad}mple.com\u{e0041}"),
            ("bob@example.com", "\u{ff42}ob\u{ff20}example.com"),
            ("stra\u{df}e@example.com", "STRASSE@example.com"),
            ("\u{3bf}\u{3b4}\u{3bf}\u{3c2}", "\u{39f}\u{394}\u{39f}\u{3a3}"),
            ("e\u{34f}\u{301}", "\u{e9}"),
            ("\u{fb01}nn", "FINN"),
            ("\u{212a}elvin", "kelvin"),
            ("bob smith", "bob\u{a0}smith"),
        ] {
            assert_eq!(person_key(name), person_key(other), "{name:?} {other:?}");
            assert_eq!(person_key(&person_key(name)), person_key(name), "{name:?}");
        }
        assert_ne!(person_key("bob@example.com"), person_key("bob@example.org"));
        assert_ne!(person_key("bob smith"), person_key("bobsmith"));
    }

    #[test]
    fn a_right_goes_to_nobody_whose_name_only_looks_the_same() {
        assert!(same_person("bob@example.com", " BOB@example.com"));
        for other in ["\u{ff42}ob@example.com", "bob\u{200b}@example.com"] {
            assert!(!same_person("bob@example.com", other), "{other:?}");
        }
    }

    #[test]
    fn a_name_that_says_nothing_names_nobody() {
        for blank in ["", " ", "\u{a0}", "\t\n", "\u{200b}", "\u{3000}\u{feff}", "\u{3164}", "\u{2800}"] {
            assert_eq!(named_person(blank.into()), None, "{blank:?}");
        }
        assert_eq!(named_person(" E-17 ".into()).as_deref(), Some(" E-17 "));
    }
}

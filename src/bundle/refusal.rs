//! Why a bundle, or a change of policies, was not taken: one closed list of stable codes.

use crate::diagnostic::{Diagnostic, Sources};

macro_rules! refusals {
    ($($variant:ident $code:literal $finding:literal $text:literal;)*) => {
        /// A refusal; `code` is the label of metrics and the history, `Display` is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($variant,)*
        }

        impl Refusal {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The code of findings.
            pub fn finding_code(self) -> &'static str {
                match self {
                    $(Self::$variant => $finding,)*
                }
            }
        }

        impl std::fmt::Display for Refusal {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

refusals! {
    Unreadable "unreadable" "unreadable" "the source can't be read";
    TooLarge "too_large" "too-large" "it is larger than allowed, packed or unpacked";
    Truncated "truncated" "truncated" "the archive is broken: it ends early, or is no gzip'd tar";
    TrailingData "trailing_data" "trailing-data" "something follows the end of the archive";
    UnsafePath "unsafe_path" "unsafe-path" "a file's path is not one that bundles may hold";
    NotAFile "not_a_file" "not-a-file" "the archive holds a link, or something else that is no plain file";
    DuplicateFile "duplicate_file" "duplicate-file" "the archive holds a file twice";
    UnexpectedFile "unexpected_file" "unexpected-file" "the archive holds a file that the manifest does not list, or lacks one that it lists";
    InvalidManifest "invalid_manifest" "invalid-manifest" "the manifest is missing or invalid";
    FutureFormat "future_format" "future-format" "the bundle has a newer format than this server reads";
    ServerTooOld "server_too_old" "server-too-old" "the bundle needs a newer server";
    WrongDigest "wrong_digest" "wrong-digest" "a file differs from what the manifest says";
    Unsigned "unsigned" "unsigned" "the bundle is not signed, and keys are configured";
    UnknownKey "unknown_key" "unknown-key" "it is signed by keys that are not configured";
    BadSignature "bad_signature" "bad-signature" "the signature does not hold";
    WrongName "wrong_name" "wrong-name" "it is another bundle than the active one";
    OlderVersion "older_version" "older-version" "a version at least as new was active already";
    SameVersion "same_version" "same-version" "this version was active already with other contents";
    Pinned "pinned" "pinned" "another revision is pinned";
    InvalidPolicy "invalid_policy" "invalid-policy" "a policy has a mistake";
    InvalidCase "invalid_case" "invalid-case" "a test case has a mistake";
    FailingCase "failing_case" "failing-case" "a test case fails";
}

impl Refusal {
    /// What to do about it, where that is the same whatever the bundle.
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Truncated => Some("fetch or copy the file again, or build it anew"),
            Self::TooLarge => Some("split it into several bundles"),
            Self::FutureFormat | Self::ServerTooOld => Some("use a newer release of portcullis"),
            Self::Unsigned => Some("sign it: `portcullis bundle sign FILE --key KEY`"),
            Self::UnknownKey => {
                Some("sign it with a trusted key, or add its public key to those that are trusted")
            }
            Self::UnsafePath
            | Self::NotAFile
            | Self::DuplicateFile
            | Self::UnexpectedFile
            | Self::TrailingData
            | Self::InvalidManifest
            | Self::WrongDigest
            | Self::BadSignature => Some("don't use this file; build it anew with `portcullis bundle build`"),
            _ => None,
        }
    }
}

/// A refusal with everything that is wrong.
#[derive(Clone, Debug)]
pub struct Refused {
    pub refusal: Refusal,
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

impl Refused {
    /// A refusal with one finding that says `what`.
    pub fn because(refusal: Refusal, what: impl std::fmt::Display) -> Self {
        let code = refusal.finding_code();
        let mut finding = Diagnostic::error(code, format!("{refusal}: {what}"));
        finding.help = refusal.advice().map(str::to_owned);
        Self { refusal, findings: vec![finding], sources: Sources::default() }
    }
}

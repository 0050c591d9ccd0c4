//! `policies.candidate`: policies that are tried beside the active ones.

use std::path::{Path, PathBuf};

use super::value::number;
use crate::bundle::{CandidateConfig, Source};
use crate::document::{Node, Reader};

/// Disagreements of one kind that are recorded in a minute, unless the configuration says otherwise.
const SAMPLE: i64 = 10;

/// Reads the section; `None` when a mistake was reported.
pub(super) fn candidate(node: &Node, folder: &Path, reader: &mut Reader) -> Option<CandidateConfig> {
    let mut fields = reader.fields(node, "`candidate`")?;
    let (paths, bundle) = (fields.optional("paths"), fields.optional("bundle"));
    let share = number(&mut fields, "share", 0, 0..=100, reader);
    let sample = number(&mut fields, "sample", SAMPLE, 0..=1_000, reader);
    fields.close(reader);
    let source = match (paths, bundle) {
        (Some(paths), None) => {
            let names = reader.strings(paths, "`paths`")?;
            if names.is_empty() {
                reader.error(paths.span, "empty-list", "`paths` names no file or folder");
                return None;
            }
            Source::Paths(names.iter().map(|name| folder.join(name)).collect::<Vec<PathBuf>>())
        }
        (None, Some(bundle)) => Source::File(folder.join(reader.string(bundle, "`bundle`")?)),
        _ => {
            reader.error(node.span, "policies-source", "`candidate` needs one of `paths` and `bundle`");
            return None;
        }
    };
    let (share, sample) = (u8::try_from(share?).ok()?, u32::try_from(sample?).ok()?);
    Some(CandidateConfig { source, share, sample })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn read(candidate: &str) -> (Option<CandidateConfig>, Vec<&'static str>) {
        let text = format!("policies: {{paths: [p], candidate: {candidate}}}\n");
        let read = config::parse(&"portcullis.yaml".into(), &text.into(), Path::new("/etc/portcullis"));
        let codes = read.findings.iter().map(|finding| finding.code).collect();
        (read.config.and_then(|config| config.policies.candidate), codes)
    }

    #[test]
    fn a_candidate_is_in_shadow_unless_it_has_a_share() {
        let (candidate, codes) = read("{paths: [next]}");
        assert!(codes.is_empty(), "{codes:?}");
        let source = Source::Paths(vec!["/etc/portcullis/next".into()]);
        assert_eq!(candidate, Some(CandidateConfig { source, share: 0, sample: 10 }));
        let (candidate, codes) = read("{bundle: next.tgz, share: 5, sample: 0}");
        assert!(codes.is_empty(), "{codes:?}");
        let source = Source::File("/etc/portcullis/next.tgz".into());
        assert_eq!(candidate, Some(CandidateConfig { source, share: 5, sample: 0 }));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, code) in [
            ("{}", "policies-source"),
            ("{paths: [a], bundle: b}", "policies-source"),
            ("{paths: []}", "empty-list"),
            ("{paths: [a], share: 101}", "out-of-range"),
            ("{paths: [a], share: -1}", "out-of-range"),
            ("{paths: [a], sample: 1001}", "out-of-range"),
            ("{paths: [a], url: https://b}", "unknown-field"),
        ] {
            assert_eq!(read(text).1, [code], "{text}");
        }
    }
}

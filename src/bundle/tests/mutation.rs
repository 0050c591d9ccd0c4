//! Whatever is packed opens as it was; however a good signed bundle is damaged, it opens as what was signed, or not at
//! all.

use std::io::Read as _;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::forge::gzip;
use super::*;

/// What one mutation does to bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip {
        at: usize,
        bit: u8,
    },
    Set {
        at: usize,
        to: u8,
    },
    Remove {
        at: usize,
        len: usize,
    },
    Insert {
        at: usize,
        bytes: Vec<u8>,
    },
    /// Overwrites a range with another of the same bytes.
    Copy {
        from: usize,
        to: usize,
        len: usize,
    },
    Swap {
        one: usize,
        other: usize,
        len: usize,
    },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<usize>();
    prop_oneof![
        (at, 0..8_u8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        (at, any::<u8>()).prop_map(|(at, to)| Mutation::Set { at, to }),
        (at, 1..600_usize).prop_map(|(at, len)| Mutation::Remove { at, len }),
        (at, prop::collection::vec(any::<u8>(), 1..600))
            .prop_map(|(at, bytes)| Mutation::Insert { at, bytes }),
        (at, at, 1..600_usize).prop_map(|(from, to, len)| Mutation::Copy { from, to, len }),
        (at, at, 1..600_usize).prop_map(|(one, other, len)| Mutation::Swap { one, other, len }),
    ]
}

/// Applies it to units of `unit` bytes, so that whole blocks of a tar can be moved about as well as bytes.
fn apply(bytes: &mut Vec<u8>, mutation: &Mutation, unit: usize) {
    let units = bytes.len() / unit;
    if units == 0 {
        return;
    }
    let start = |at: usize| at % units * unit;
    let range =
        |at: usize, len: usize| start(at)..(start(at) + len.min(units).max(1) * unit).min(bytes.len());
    match mutation {
        Mutation::Flip { at, bit } => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        Mutation::Set { at, to } => {
            let at = at % bytes.len();
            bytes[at] = *to;
        }
        Mutation::Remove { at, len } => drop(bytes.drain(range(*at, *len % 4))),
        Mutation::Insert { at, bytes: new } => {
            let at = start(*at);
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Copy { from, to, len } => {
            let copied = bytes[range(*from, *len % 4)].to_vec();
            let to = start(*to);
            bytes.splice(to..to, copied);
        }
        Mutation::Swap { one, other, len } => {
            let (one, other) = (range(*one, *len % 4), range(*other, *len % 4));
            let len = one.len().min(other.len());
            for (one, other) in one.zip(other).take(len) {
                bytes.swap(one, other);
            }
        }
    }
}

/// Makes the checksum of every block right that looks like a header.
fn mend_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

struct Original {
    bytes: Vec<u8>,
    tar: Vec<u8>,
    trust: Trust,
    bundle: Bundle,
}

fn original() -> Original {
    let key = SigningKey::generate().unwrap();
    let bytes = sign(&packed(), &key).unwrap();
    let mut tar = Vec::new();
    GzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap();
    let trust = trust(&key);
    let bundle = open(&bytes, &trust).unwrap();
    Original { bytes, tar, trust, bundle }
}

impl Original {
    fn is_the_same_or_refused(&self, bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Ok(opened) = open(bytes, &self.trust) {
            prop_assert_eq!(&opened.manifest, &self.bundle.manifest);
            prop_assert_eq!(&opened.signer, &self.bundle.signer);
            prop_assert_eq!(&opened.policies, &self.bundle.policies);
            prop_assert_eq!(&opened.cases, &self.bundle.cases);
        }
        // Whoever asks for no signature may see something else, and never a panic.
        let _ = open(bytes, &Trust::none());
        Ok(())
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases(least: u32) -> ProptestConfig {
    ProptestConfig {
        cases: least.max(ProptestConfig::default().cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn damage_to_the_packed_bytes_changes_nothing_unseen() {
    let original = original();
    proptest!(cases(1_000), |(mutations in prop::collection::vec(mutation(), 1..4))| {
        let mut bytes = original.bytes.clone();
        mutations.iter().for_each(|mutation| apply(&mut bytes, mutation, 1));
        original.is_the_same_or_refused(&bytes)?;
    });
}

#[test]
fn damage_to_the_unpacked_bytes_changes_nothing_unseen() {
    let original = original();
    let unit = prop_oneof![Just(1), Just(512)];
    proptest!(cases(1_000), |(mutations in prop::collection::vec((mutation(), unit), 1..4), mend: bool)| {
        let mut tar = original.tar.clone();
        mutations.iter().for_each(|(mutation, unit)| apply(&mut tar, mutation, *unit));
        if mend {
            mend_checksums(&mut tar);
        }
        original.is_the_same_or_refused(&gzip(&tar))?;
    });
}

#[test]
fn every_byte_of_the_packed_bytes_is_looked_after() {
    let original = original();
    for at in 0..original.bytes.len() {
        let mut bytes = original.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        original.is_the_same_or_refused(&bytes).unwrap();
    }
}

#[test]
fn whatever_the_files_are_called_their_texts_come_back() {
    let file = || (".{0,20}|[a-b./]{1,6}(\\.cases)?(\\.ya?ml)?", "(?s).{0,50}");
    let files = |least| prop::collection::vec(file(), least..6);
    proptest!(cases(256), |(policies in files(1), cases in files(0))| {
        let sources = |files: &[(String, String)]| -> Vec<SourceFile> {
            files.iter().map(|(file, text)| source(file, text)).collect()
        };
        let texts = |files: &[SourceFile]| {
            let mut texts: Vec<_> = files.iter().map(|file| file.text.clone()).collect();
            texts.sort_unstable();
            texts
        };
        let bundle = Bundle::of_files(sources(&policies), sources(&cases));
        let opened = open(&bundle.pack(&label()).unwrap(), &Trust::none()).unwrap();
        prop_assert_eq!(texts(&opened.policies), texts(&bundle.policies));
        prop_assert_eq!(texts(&opened.cases), texts(&bundle.cases));
    });
}

#[test]
fn noise_is_refused() {
    proptest!(cases(1_000), |(noise in prop::collection::vec(any::<u8>(), 0..2_000))| {
        prop_assert!(open(&noise, &Trust::none()).is_err());
        prop_assert!(open(&gzip(&noise), &Trust::none()).is_err());
    });
}

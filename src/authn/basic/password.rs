//! Hashes of passwords: Argon2id, neither so weak that a stolen file gives the passwords away, nor so strong that a
//! few callers take all memory.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordVerifier, Version};
use aws_lc_rs::rand;

/// Pairs of memory (KiB) and passes that resist guessing about equally: those of the OWASP Password Storage Cheat Sheet.
const LEAST: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];
const MAX_MEMORY: u32 = 256 << 10;
/// Memory (KiB) times passes: about a second of one processor.
const MAX_WORK: u64 = 1 << 20;
const MAX_LANES: u32 = 16;
const MIN_OUTPUT: usize = 16;

/// A hash that is neither too weak nor too dear.
#[derive(Clone)]
pub struct Hash(PasswordHash);

/// Why a text is no such hash. Holds nothing of the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the password's hash is no `$argon2id$v=19$m=...,t=...,p=...$salt$hash`")]
    Malformed,
    #[error("the password's hash is too weak: m={memory},t={passes}")]
    Weak { memory: u32, passes: u32 },
    #[error("the password's hash is shorter than {MIN_OUTPUT} bytes")]
    Short,
    #[error("the password's hash takes too much: m={memory},t={passes},p={lanes}")]
    Dear { memory: u32, passes: u32, lanes: u32 },
}

impl Hash {
    /// Parses a PHC string.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let hash = PasswordHash::new(text).map_err(|_| Unusable::Malformed)?;
        let (salt, output) = (hash.salt.as_ref(), hash.hash.as_ref());
        let (Some(_), Some(output)) = (salt, output) else { return Err(Unusable::Malformed) };
        if hash.algorithm != ARGON2ID_IDENT || hash.version != Some(Version::V0x13.into()) {
            return Err(Unusable::Malformed);
        }
        // The library would put its own values in place of those that are not there.
        if !["m", "t", "p"].iter().all(|name| hash.params.get(*name).is_some()) {
            return Err(Unusable::Malformed);
        }
        let params = Params::try_from(&hash).map_err(|_| Unusable::Malformed)?;
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        if !LEAST.iter().any(|(least, times)| memory >= *least && passes >= *times) {
            return Err(Unusable::Weak { memory, passes });
        }
        if output.len() < MIN_OUTPUT {
            return Err(Unusable::Short);
        }
        let work = u64::from(memory) * u64::from(passes);
        if memory > MAX_MEMORY || work > MAX_WORK || lanes > MAX_LANES {
            return Err(Unusable::Dear { memory, passes, lanes });
        }
        Ok(Self(hash))
    }

    /// The hash of no password, which costs as much to compare with as one of these parameters.
    pub fn of_nothing(parameters: Parameters) -> Option<Self> {
        let Parameters { memory, passes, lanes } = parameters;
        let params = Params::new(memory, passes, lanes, None).ok()?;
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params);
        hash_with(&argon2, &random().ok()?).ok().map(Self)
    }

    /// Whether it is the hash of `password`. Takes tens of milliseconds of a processor, and as much memory as it says.
    pub fn is_of(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.0).is_ok()
    }

    pub fn parameters(&self) -> Parameters {
        Params::try_from(&self.0).map_or_else(|_| Parameters::default(), |params| Parameters::of(&params))
    }
}

/// What verifying costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parameters {
    /// In KiB.
    pub memory: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Parameters {
    fn of(params: &Params) -> Self {
        Self { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::of(&Params::DEFAULT)
    }
}

/// A new hash of `password`, with a random salt, as a PHC string.
pub fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    hash_with(&Argon2::default(), password).map(|hash| hash.to_string())
}

fn hash_with(argon2: &Argon2<'_>, password: &[u8]) -> Result<PasswordHash, argon2::password_hash::Error> {
    argon2.hash_password_with_salt(password, &random()?)
}

fn random() -> Result<[u8; 16], argon2::password_hash::Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| argon2::password_hash::Error::Crypto)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_the_reference_implementation_is_verified() {
        // From its test.c: version 0x13, 2 passes, 64 MiB, 1 lane.
        let hash = with("m=65536,t=2,p=1").unwrap();
        assert!(hash.is_of(b"password"));
        assert!(!hash.is_of(b"Password") && !hash.is_of(b"password ") && !hash.is_of(b""));
    }

    #[test]
    fn a_new_hash_is_good_enough_and_has_its_own_salt() {
        let made = hash(b"correct horse").unwrap();
        assert!(Hash::parse(&made).unwrap().is_of(b"correct horse"));
        assert_ne!(made, hash(b"correct horse").unwrap());
    }

    fn with(parameters: &str) -> Result<Hash, Unusable> {
        Hash::parse(&format!(
            "$argon2id$v=19${parameters}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
        ))
    }

    #[test]
    fn weak_hashes_are_refused_and_those_at_the_edge_are_not() {
        for good in
            ["m=19456,t=2,p=1", "m=47104,t=1,p=1", "m=7168,t=5,p=1", "m=65536,t=3,p=4", "m=262144,t=4,p=16"]
        {
            assert!(with(good).is_ok(), "{good}");
        }
        for weak in
            ["m=19455,t=2,p=1", "m=47103,t=1,p=1", "m=7168,t=4,p=1", "m=4096,t=3,p=1", "m=7167,t=99,p=1"]
        {
            assert!(matches!(with(weak), Err(Unusable::Weak { .. })), "{weak}");
        }
    }

    #[test]
    fn hashes_that_take_all_memory_or_time_are_refused() {
        for dear in ["m=262145,t=1,p=1", "m=2097152,t=1,p=4", "m=65536,t=17,p=1", "m=19456,t=2,p=17"] {
            assert!(matches!(with(dear), Err(Unusable::Dear { .. })), "{dear}");
        }
    }

    #[test]
    fn what_is_no_argon2id_hash_is_refused() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(Hash::parse(good).is_ok());
        for bad in [
            good.replace("argon2id", "argon2i"),
            good.replace("argon2id", "argon2d"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            good.replace("$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", ""),
            good.replace("c29tZXNhbHQ", "c29t"),
            good.replace("m=19456,", ""),
            good.replace("t=2", "t=0"),
            good.replace("t=2", "t=-2"),
            "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy".into(),
            "$apr1$x$y".into(),
            "secret".into(),
            String::new(),
        ] {
            let refused = Hash::parse(&bad).err();
            assert!(
                matches!(refused, Some(Unusable::Malformed | Unusable::Weak { .. })),
                "{bad}: {refused:?}"
            );
        }
        let short = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm";
        assert_eq!(Hash::parse(short).err(), Some(Unusable::Short));
    }

    #[test]
    fn the_hash_of_nothing_costs_the_same_and_fits_no_password() {
        let parameters = Parameters { memory: 19_456, passes: 3, lanes: 2 };
        let nothing = Hash::of_nothing(parameters).unwrap();
        assert_eq!(nothing.parameters(), parameters);
        assert!(!nothing.is_of(b"") && !nothing.is_of(b"password"));
    }
}

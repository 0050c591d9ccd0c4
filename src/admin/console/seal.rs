//! What the browser keeps for the server: sealed, so that it can be neither read nor changed there, and any replica
//! with the same key opens it. Knows nothing of what is sealed.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a nonce.
const NONCE: usize = 12;
const KEY: usize = 32;

/// What something was sealed as: nothing passes for another thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Session,
    /// A login that is under way.
    Flow,
    /// A decision that waits for its author to log in again.
    Draft,
    /// That somebody has logged in from this browser before.
    Known,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"portcullis console session 1",
            Self::Flow => b"portcullis console flow 1",
            Self::Draft => b"portcullis console draft 1",
            Self::Known => b"portcullis console known 1",
        }
    }
}

/// The keys of one console, all derived from one secret.
pub struct Keys {
    seal: RandomizedNonceKey,
    csrf: hmac::Key,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Why there are no keys. `Display` is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("can't read or write the console's key `{path}`: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    #[error("the console's key `{path}` has {1} bytes; it needs at least {KEY}", path = .0.display())]
    TooShort(PathBuf, usize),
    #[error(
        "the console's key `{path}` can be read by others than its owner; `chmod 600` it, or delete it to have a new one made",
        path = .0.display()
    )]
    Readable(PathBuf),
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl Keys {
    /// The keys by the secret in a file, which is made (with mode 0600) where it is not there. Who else may read it may
    /// log in as anybody, so it is refused then.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::File(path.to_owned(), error);
        if !path.try_exists().map_err(failed)? {
            create(path)?;
        }
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Readable(path.to_owned()));
        }
        let secret = std::fs::read(path).map_err(failed)?;
        if secret.len() < KEY {
            return Err(KeyError::TooShort(path.to_owned(), secret.len()));
        }
        Self::of(&secret)
    }

    /// The keys by a secret of at least 32 bytes.
    pub fn of(secret: &[u8]) -> Result<Self, KeyError> {
        let master = Salt::new(HKDF_SHA256, b"portcullis console").extract(secret);
        let derive = |label: &'static [u8]| {
            let mut key = [0; KEY];
            let labels = [label];
            let expanded = master.expand(&labels, HKDF_SHA256);
            expanded.and_then(|okm| okm.fill(&mut key)).map_err(|_| KeyError::NoRandomness)?;
            Ok::<_, KeyError>(key)
        };
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &derive(b"seal")?);
        let csrf = hmac::Key::new(hmac::HMAC_SHA256, &derive(b"csrf")?);
        Ok(Self { seal: seal.map_err(|_| KeyError::NoRandomness)?, csrf })
    }

    /// As text for a cookie; `None` when the system gives no random bytes.
    pub fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Option<String> {
        let mut sealed = serde_json::to_vec(value).ok()?;
        let nonce = self.seal.seal_in_place_append_tag(Aad::from(purpose.label()), &mut sealed).ok()?;
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut sealed);
        Some(URL_SAFE_NO_PAD.encode(out))
    }

    /// What was sealed with these keys for this purpose.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.seal.open_in_place(nonce, Aad::from(purpose.label()), &mut sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }

    /// What a form of this session must send along.
    pub fn form_token(&self, session: &str) -> String {
        hex::encode(hmac::sign(&self.csrf, session.as_bytes()))
    }

    /// Whether a form was made for this session; takes as long whatever is wrong with it.
    pub fn is_form_token(&self, session: &str, token: &str) -> bool {
        let Ok(token) = hex::decode(token) else { return false };
        hmac::verify(&self.csrf, session.as_bytes(), &token).is_ok()
    }
}

/// Writes a new secret as a whole: a replica that starts at the same time finds all of it or none.
fn create(path: &Path) -> Result<(), KeyError> {
    let failed = |error| KeyError::File(path.to_owned(), error);
    let secret = random::<KEY>().ok_or(KeyError::NoRandomness)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(&secret).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(raced) if raced.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

/// Random bytes; `None` when the system gives none.
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// 256 random bits as text for URLs and forms.
pub fn random_text() -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_with_its_key_and_unchanged_only() {
        let (keys, others) = (Keys::of(&[1; 32]).unwrap(), Keys::of(&[2; 32]).unwrap());
        let sealed = keys.seal(Purpose::Session, &"ana").unwrap();
        assert_eq!(keys.open::<String>(Purpose::Session, &sealed).as_deref(), Some("ana"));
        assert_eq!(
            Keys::of(&[1; 32]).unwrap().open::<String>(Purpose::Session, &sealed).as_deref(),
            Some("ana")
        );
        assert_eq!(keys.open::<String>(Purpose::Flow, &sealed), None);
        assert_eq!(others.open::<String>(Purpose::Session, &sealed), None);
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open::<String>(Purpose::Session, &URL_SAFE_NO_PAD.encode(&changed)), None);
            assert_eq!(keys.open::<String>(Purpose::Session, &URL_SAFE_NO_PAD.encode(&bytes[..at])), None);
        }
        assert_ne!(keys.seal(Purpose::Session, &"ana"), keys.seal(Purpose::Session, &"ana"));
    }

    #[test]
    fn a_form_token_is_good_for_its_session_only() {
        let keys = Keys::of(&[1; 32]).unwrap();
        let token = keys.form_token("a");
        assert!(keys.is_form_token("a", &token));
        for (session, token) in [("b", token.as_str()), ("a", ""), ("a", "00"), ("a", &token[2..])] {
            assert!(!keys.is_form_token(session, token));
        }
    }

    #[test]
    fn the_key_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.key");
        let sealed = Keys::load_or_create(&path).unwrap().seal(Purpose::Flow, &1).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Keys::load_or_create(&path).unwrap().open(Purpose::Flow, &sealed), Some(1));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::load_or_create(&path), Err(KeyError::Readable(_))));
        std::fs::write(&path, [1; 31]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Keys::load_or_create(&path), Err(KeyError::TooShort(_, 31))));
    }
}

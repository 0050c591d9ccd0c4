//! One SHA-256 for all that is found by a digest of a secret, or of something long.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of these bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    /// The first example of FIPS 180-2, appendix B.
    #[test]
    fn it_is_the_one_of_the_standard() {
        let hash = hex::encode(super::sha256(b"abc"));
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

//! Who is asking, as a pseudonym: joinable within one key, meaningless without it.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;
/// Half of the digest is far from any collision and keeps rows short.
const PSEUDONYM_BYTES: usize = 16;

/// Turns client names into pseudonyms: HMAC-SHA256 (RFC 2104), 32 hex digits.
#[derive(Clone)]
pub struct Pseudonyms {
    inner: Sha256,
    outer: Sha256,
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

impl Pseudonyms {
    /// Pseudonyms under this key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0_u8; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| Sha256::new_with_prefix(block.map(|b| b ^ pad));
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// The pseudonym of a client.
    #[must_use]
    pub fn of(&self, client: &[u8]) -> String {
        hex::encode(&self.mac(client)[..PSEUDONYM_BYTES])
    }

    fn mac(&self, message: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn the_standards_vectors_hold() {
        let two = Pseudonyms::new(b"Jefe").mac(b"what do ya want for nothing?");
        assert_eq!(hex::encode(two), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let six = Pseudonyms::new(&[0xaa; 131]).mac(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex::encode(six), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn another_key_is_another_pseudonym() {
        let (a, b) = (Pseudonyms::new(b"a").of(b"client"), Pseudonyms::new(b"b").of(b"client"));
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
    }
}

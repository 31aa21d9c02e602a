//! An RSA public key out of PEM: just enough DER to find it.
//!
//! `ring` takes a PKCS#1 `RSAPublicKey` (RFC 8017, A.1.1); what tools write is an X.509 `SubjectPublicKeyInfo` (RFC
//! 5280, 4.1.2.7), which is a sequence of the algorithm's name and that key as a bit string.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// `rsaEncryption`, 1.2.840.113549.1.1.1, and its empty parameters.
const RSA: [u8; 13] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The PKCS#1 key of the first block that is one.
pub fn rsa_public_key(pem: &str) -> Option<Vec<u8>> {
    if let Some(der) = block(pem, "RSA PUBLIC KEY") {
        return Some(der);
    }
    let der = block(pem, "PUBLIC KEY")?;
    let (body, rest) = element(SEQUENCE, &der)?;
    let (algorithm, key) = element(SEQUENCE, body)?;
    let (bits, end) = element(BIT_STRING, key)?;
    let (unused, key) = bits.split_first()?;
    (algorithm == RSA && rest.is_empty() && end.is_empty() && *unused == 0).then(|| key.to_vec())
}

fn block(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, after) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
    let packed: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(packed).ok()
}

/// The content of the element at the start, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

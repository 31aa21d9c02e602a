//! The manifest of a version's folder: what its files hash to, what it answered where it was made, and who says so.
//!
//! `driftline.manifest.json` lists files and golden samples; `driftline.manifest.sig` beside it is an Ed25519 signature
//! (RFC 8032) over the bytes of the manifest, in hexadecimal. Since every file that is read must be in the manifest
//! with its SHA-256, the signature covers the folder. Keys are 32 bytes in hexadecimal.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::config::RawBatching;
use super::device::Device;
use super::folder::MANIFEST;
use super::golden::{self, GoldenSample};
use super::pairing::{self, Paired, Terms};
use super::runtime::Runtime;

/// The signature's file.
pub(crate) const SIGNATURE: &str = "driftline.manifest.sig";

/// The manifest's own version.
pub(crate) const VERSION: u32 = 1;

/// What the manifest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) manifest: u32,
    pub(crate) files: BTreeMap<String, Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) golden: Vec<GoldenSample>,
}

/// What it says of a file: its SHA-256, or that and its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// Hexadecimal.
    Hash(String),
    /// The same with the length.
    Full {
        /// Hexadecimal.
        sha256: String,
        /// Length of the file.
        bytes: u64,
    },
}

impl Entry {
    pub(crate) fn sha256(&self) -> &str {
        match self {
            Self::Hash(sha256) | Self::Full { sha256, .. } => sha256,
        }
    }
}

/// A key whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey(VerifyingKey);

impl TrustedKey {
    /// Reads 64 hexadecimal digits; `None` for anything else, and for what is no point of the curve.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        VerifyingKey::from_bytes(&bytes_of(text)?).ok().map(Self)
    }
}

/// Why a folder could not be pinned, or a key not be used; a sentence for the terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PinError(String);

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.trim(), &mut bytes).ok().map(|()| bytes)
}

/// Whether one of the keys has signed the manifest of a folder; nothing is asked where there are no keys.
///
/// # Errors
/// One sentence naming the file.
pub(crate) fn check_signature(dir: &Path, trusted: &[TrustedKey]) -> Result<(), String> {
    if trusted.is_empty() {
        return Ok(());
    }
    let read = |name: &str| fs::read(dir.join(name)).map_err(|error| unsigned(name, &error));
    let (manifest, signature) = (read(MANIFEST)?, read(SIGNATURE)?);
    let text = String::from_utf8_lossy(&signature);
    let signature = bytes_of::<64>(&text).ok_or_else(|| format!("{SIGNATURE} is not 128 hexadecimal digits"))?;
    let signature = Signature::from_bytes(&signature);
    if trusted.iter().any(|key| key.0.verify_strict(&manifest, &signature).is_ok()) {
        return Ok(());
    }
    let keys = trusted.len();
    Err(format!("{SIGNATURE} is no signature of {MANIFEST} by any of the {keys} keys of proxy.models.trusted_keys"))
}

fn unsigned(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no {name}, and proxy.models.trusted_keys asks for a signed manifest: pin it with a key")
        }
        _ => format!("cannot read {name}: {error}"),
    }
}

/// How a folder is pinned.
#[derive(Clone, Debug, Default)]
pub struct Pin {
    /// Texts whose answers are written down; without any, a few of ours (or seeded rows, for tensors).
    pub samples: Vec<String>,
    /// How far a score may be off; default: 0.0001.
    pub tolerance: Option<f64>,
    /// The text of a private key's file.
    pub key: Option<String>,
    /// Whether an older manifest's samples and its signature may go.
    pub anew: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Files in the manifest.
    pub files: usize,
    /// Golden samples in it.
    pub golden: usize,
    /// Whether these are an older manifest's.
    pub kept: bool,
    /// Whether it is signed.
    pub signed: bool,
}

/// Texts of our own, for a model that came without any: short, long, numbers, another script.
const TEXTS: [&str; 5] = [
    "Is anybody there?",
    "The parcel that I ordered three weeks ago has still not arrived, and nobody answers the telephone.",
    "Invoice 4711: 19.99 EUR, due 2026-01-31",
    "GREAT!!! works as described :-)",
    "Der Vertrag wurde gekündigt; 请问什么时候退款？",
];

/// Checks a folder, the hashes of an older manifest aside, and writes its manifest; signs it where there is a key. Golden samples
/// of an older manifest are kept and have to hold, unless there are others or `anew`; nor is its signature dropped otherwise.
///
/// # Errors
/// The first check that fails, a kept sample that does not hold, what cannot be written, a key that is none or missing.
pub fn pin(dir: &Path, onnxruntime: &Path, how: &Pin) -> Result<Pinned, PinError> {
    let runtime = Runtime::load(onnxruntime).map_err(|error| PinError(error.to_string()))?;
    let key = how.key.as_deref().map(signing_key).transpose()?;
    if key.is_none() && !how.anew && dir.join(SIGNATURE).exists() {
        let sentence = format!(
            "the manifest is signed ({SIGNATURE}): sign the new one with --key, or drop the signature with --anew"
        );
        return Err(PinError(sentence));
    }
    let kept = kept(dir, how)?;
    let terms = Terms {
        max_chars: 10_000,
        intra_threads: None,
        device: Device::Cpu,
        batching: RawBatching::default().into(),
        thorough: false,
    };
    let (report, paired) = pairing::examine_unpinned(dir, &runtime, terms);
    let Some(paired) = paired else {
        let (check, why) = report.failure().unwrap_or(("files", "it cannot be read"));
        return Err(PinError(format!("the folder fails the check '{check}' and is not pinned: {why}")));
    };
    let are_kept = !kept.is_empty();
    let manifest = write_down(dir, paired, how, kept)?;
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| PinError(error.to_string()))? + "\n";
    replace(dir, MANIFEST, &text)?;
    match &key {
        Some(key) => replace(dir, SIGNATURE, &(hex::encode(key.sign(text.as_bytes()).to_bytes()) + "\n"))?,
        None => match fs::remove_file(dir.join(SIGNATURE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PinError(format!("cannot remove the old {SIGNATURE}: {error}")));
            }
            _ => {}
        },
    }
    let (files, golden) = (manifest.files.len(), manifest.golden.len());
    Ok(Pinned { files, golden, kept: are_kept, signed: key.is_some() })
}

/// The golden samples of an older manifest, unless there are to be others.
fn kept(dir: &Path, how: &Pin) -> Result<Vec<GoldenSample>, PinError> {
    if how.anew || !how.samples.is_empty() {
        return Ok(Vec::new());
    }
    let unreadable =
        |error: String| PinError(format!("{MANIFEST} cannot be read: {error}; --anew writes another in its place"));
    match fs::read(dir.join(MANIFEST)) {
        Ok(bytes) => {
            let manifest = serde_json::from_slice::<Manifest>(&bytes);
            manifest.map(|manifest| manifest.golden).map_err(|error| unreadable(error.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn write_down(dir: &Path, paired: Paired, how: &Pin, kept: Vec<GoldenSample>) -> Result<Manifest, PinError> {
    let Paired { folder, encoder, mut engine, .. } = paired;
    let file = |(name, sha256): (&String, &String)| {
        let length = fs::metadata(dir.join(name)).map_err(|error| PinError(format!("cannot read {name}: {error}")))?;
        Ok((name.clone(), Entry::Full { sha256: sha256.clone(), bytes: length.len() }))
    };
    let files = folder.hashes.iter().map(file).collect::<Result<_, PinError>>()?;
    let own: Vec<String> = TEXTS.map(str::to_owned).to_vec();
    let texts = if how.samples.is_empty() { &own } else { &how.samples };
    let tolerance = how.tolerance;
    let golden = match &encoder {
        _ if !kept.is_empty() => {
            let usual = golden::tolerance(super::onnx::precision(&folder.model).ok().flatten(), Device::Cpu);
            let held =
                golden::check(&kept, &mut engine, encoder.as_deref(), folder.settings.tolerance.unwrap_or(usual));
            let advice =
                "pin with --anew, or with --samples of your own, if the model is meant to answer otherwise now";
            held.map(|_| kept).map_err(|why| format!("{why}; {advice}"))
        }
        Some(encoder) => golden::of_texts(texts, &mut engine, encoder, tolerance),
        None if !how.samples.is_empty() => Err("the model takes tensors, and --samples holds texts".to_owned()),
        None => golden::of_rows(&mut engine, tolerance),
    };
    Ok(Manifest { manifest: VERSION, files, golden: golden.map_err(PinError)? })
}

/// Written beside and renamed: a proxy that looks meanwhile sees the old one or the new one.
fn replace(dir: &Path, name: &str, text: &str) -> Result<(), PinError> {
    let (path, beside) = (dir.join(name), dir.join(format!(".{name}.new")));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
    written.map_err(|error| PinError(format!("cannot write {}: {error}", path.display())))
}

fn signing_key(text: &str) -> Result<SigningKey, PinError> {
    let bytes = bytes_of(text).ok_or_else(|| PinError("a private key is 64 hexadecimal digits".to_owned()))?;
    Ok(SigningKey::from_bytes(&bytes))
}

/// Makes a key pair: the private one goes to a new file that only its owner reads; gives the public one, for
/// `proxy.models.trusted_keys`.
///
/// # Errors
/// Where the file is there already or cannot be written.
pub fn keygen(path: &Path) -> Result<String, PinError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error: io::Error| PinError(format!("cannot write {}: {error}", path.display()));
    let mut secret = [0; 32];
    let random = fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut secret));
    random.map_err(|error| PinError(format!("the system gives no random bytes: {error}")))?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    writeln!(file, "{}", hex::encode(secret)).map_err(failed)?;
    Ok(hex::encode(SigningKey::from_bytes(&secret).verifying_key().to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{copy, fixtures, onnxruntime};
    use super::super::verify;
    use super::*;

    fn house(model: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixtures().join(model), dir.path());
        dir
    }

    fn pinned(dir: &Path, how: &Pin) -> Pinned {
        let pinned = pin(dir, &onnxruntime(), how).unwrap();
        let report = verify(dir, &onnxruntime()).unwrap();
        assert!(report.passed(), "{report}");
        pinned
    }

    fn refusal(dir: &Path) -> String {
        let report = verify(dir, &onnxruntime()).unwrap();
        let (check, why) = report.failure().unwrap();
        format!("{check}: {why}")
    }

    #[test]
    fn what_is_pinned_verifies_and_what_is_changed_does_not() {
        let dir = house("router/1");
        let samples = vec!["where is my parcel".to_owned(), "my card was charged".to_owned()];
        let how = Pin { samples, ..Pin::default() };
        assert_eq!(pinned(dir.path(), &how), Pinned { files: 3, golden: 2, kept: false, signed: false });
        let text = fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        assert!(matches!(&manifest.files["model.onnx"], Entry::Full { bytes, .. } if *bytes > 0));
        // another tokenizer order, honestly hashed: only a golden sample can tell
        let wrong = text.replacen("\"expected_ids\": [", "\"expected_ids\": [\n        9,", 1);
        assert_ne!(text, wrong);
        fs::write(dir.path().join(MANIFEST), wrong).unwrap();
        let told = refusal(dir.path());
        assert!(told.starts_with("golden: golden sample 'where is my parcel' expects token 9"), "{told}");
        fs::write(dir.path().join(MANIFEST), &text).unwrap();
        let config = dir.path().join("config.json");
        fs::write(&config, fs::read_to_string(&config).unwrap() + " ").unwrap();
        let told = refusal(dir.path());
        assert!(told.starts_with("hashes: config.json has SHA-256 ") && told.contains(" expects "), "{told}");
        let again = pinned(dir.path(), &Pin::default());
        assert_eq!((again.golden, again.kept), (2, true), "hashes are new, and what the model has to answer is not");
        let text = fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
        let wrong = text.replacen("\"expected_ids\": [", "\"expected_ids\": [\n        9,", 1);
        fs::write(dir.path().join(MANIFEST), &wrong).unwrap();
        let error = pin(dir.path(), &onnxruntime(), &Pin::default()).unwrap_err().to_string();
        assert!(error.contains("'where is my parcel' expects token 9") && error.contains("--anew"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(MANIFEST)).unwrap(), wrong, "a refusal writes nothing");
        let anew = pinned(dir.path(), &Pin { anew: true, ..Pin::default() });
        assert_eq!((anew.golden, anew.kept), (TEXTS.len(), false));
    }

    #[test]
    fn a_tensor_model_is_pinned_by_rows_of_ours() {
        let dir = house("flowers/1");
        assert!(pinned(dir.path(), &Pin::default()).golden > 0);
        let how = Pin { samples: vec!["x".into()], ..Pin::default() };
        let error = pin(dir.path(), &onnxruntime(), &how).unwrap_err().to_string();
        assert!(error.contains("takes tensors"), "{error}");
    }

    #[test]
    fn only_a_trusted_signature_of_this_manifest_is_believed() {
        let dir = house("router/1");
        let (ours, theirs) = (dir.path().join("ours.key"), dir.path().join("theirs.key"));
        let trusted = [TrustedKey::read(&keygen(&ours).unwrap()).unwrap()];
        let stranger = [TrustedKey::read(&keygen(&theirs).unwrap()).unwrap()];
        let told = check_signature(dir.path(), &trusted).unwrap_err();
        assert!(told.starts_with("there is no driftline.manifest.sig"), "{told}");
        let how = Pin { key: Some(fs::read_to_string(&ours).unwrap()), ..Pin::default() };
        assert!(pinned(dir.path(), &how).signed);
        assert_eq!(check_signature(dir.path(), &trusted), Ok(()));
        assert_eq!(check_signature(dir.path(), &[]), Ok(()), "without keys nobody asks");
        assert!(check_signature(dir.path(), &stranger).unwrap_err().contains("no signature of"));
        let path = dir.path().join(MANIFEST);
        fs::write(&path, fs::read_to_string(&path).unwrap() + " ").unwrap();
        assert!(check_signature(dir.path(), &trusted).unwrap_err().contains("no signature of"), "a byte is enough");
        let error = pin(dir.path(), &onnxruntime(), &Pin { anew: false, ..Pin::default() }).unwrap_err().to_string();
        assert!(error.starts_with("the manifest is signed") && dir.path().join(SIGNATURE).exists(), "{error}");
        assert!(!pinned(dir.path(), &Pin { anew: true, ..Pin::default() }).signed);
        assert!(!dir.path().join(SIGNATURE).exists(), "a signature of the manifest before would lie");
        assert!(keygen(&ours).is_err(), "a key is never overwritten");
    }

    /// RFC 8032, section 7.1, test 3.
    #[test]
    fn the_standards_vector_holds() {
        let key = signing_key("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").unwrap();
        let public = hex::encode(key.verifying_key().to_bytes());
        assert_eq!(public, "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let signature = hex::encode(key.sign(&[0xaf, 0x82]).to_bytes());
        assert_eq!(
            signature,
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        );
    }
}

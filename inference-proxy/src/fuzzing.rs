//! What the fuzz targets of `inference-proxy/fuzz` call: each reader of bytes that a client made, as one function that
//! must neither panic nor take what it could not give back.
//!
//! `make fuzz` runs them under libFuzzer; the tests here run them over the same seeds, over arbitrary bytes, and over
//! seeds with a byte changed.

use std::sync::Arc;

use bytes::Bytes;

use crate::encoding::Coding;
use crate::error::ApiError;
use crate::grpc::codec::decode as decode_message;
use crate::grpc::request;
use crate::oip::binary::{self, Given};
use crate::oip::decode::decode;
use crate::oip::request::InferRequest;

/// A body that is all JSON.
pub fn json(data: &[u8]) {
    read(&Bytes::copy_from_slice(data), None);
}

/// A body of JSON and raw tensors; the first two bytes, little-endian, say where the JSON ends.
pub fn binary(data: &[u8]) {
    if let Some((length, body)) = data.split_first_chunk() {
        read(&Bytes::copy_from_slice(body), Some(usize::from(u16::from_le_bytes(*length))));
    }
}

/// A message of gRPC's, out of its frame.
pub fn grpc(data: &[u8]) {
    if let Ok(message) = decode_message(Bytes::copy_from_slice(data)) {
        check(request::read(message));
    }
}

/// A compressed body; the first byte says how.
pub fn inflate(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    if let Some((coding, body)) = data.split_first() {
        let coding = if coding % 2 == 0 { Coding::Gzip } else { Coding::Deflate };
        if let Ok(inflated) = coding.unpack(body, LIMIT) {
            assert!(inflated.len() <= LIMIT, "the limit of a body holds also after it is inflated");
        }
    }
}

fn read(body: &Bytes, json_bytes: Option<usize>) {
    check(decode(body, json_bytes));
}

/// Whatever is taken fills its shape, and its raw bytes are the same tensor again.
fn check(request: Result<InferRequest, ApiError>) {
    let Ok(request) = request else { return };
    for tensor in request.inputs {
        assert_eq!(tensor.shape().iter().product::<usize>(), tensor.data().len());
        let (datatype, shape) = (tensor.data().datatype(), tensor.shape().to_vec());
        let raw = Given::Made(Arc::new(tensor.clone())).raw().map_err(|why| format!("{why}: {tensor:?}"));
        let again = raw.and_then(|raw| binary::read(datatype, &shape, &raw));
        // bytes of the text, because NaN is not itself
        assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, String>(tensor.data())));
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    type Target = (&'static str, fn(&[u8]));
    const TARGETS: [Target; 4] = [("json", json), ("binary", binary), ("grpc", grpc), ("inflate", inflate)];

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(folder().join("corpus").join(target)).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn every_target_is_built_has_seeds_and_takes_them() {
        let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for (name, run) in TARGETS {
            let source = std::fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
            assert!(source.contains(&format!("inference_proxy::fuzzing::{name}(")), "{source}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
            let seeds = seeds(name);
            assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
            seeds.iter().for_each(|seed| run(seed));
        }
        assert_eq!(std::fs::read_dir(folder().join("fuzz_targets")).unwrap().count(), TARGETS.len());
    }

    #[test]
    fn seeds_reach_the_tensors() {
        for seed in seeds("binary") {
            let (length, body) = seed.split_first_chunk().unwrap();
            let head = usize::from(u16::from_le_bytes(*length));
            assert!(decode(&Bytes::copy_from_slice(body), Some(head)).is_ok(), "{seed:?}");
        }
        for seed in seeds("grpc") {
            assert!(request::read(decode_message(seed.clone().into()).unwrap()).is_ok(), "{seed:?}");
        }
        assert!(seeds("json").iter().filter(|seed| decode(&Bytes::copy_from_slice(seed), None).is_ok()).count() >= 2);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            TARGETS.iter().for_each(|(_, run)| run(&bytes));
        }

        #[test]
        fn seeds_with_some_bytes_changed_do_no_harm(
            target in 0..TARGETS.len(),
            seed in any::<prop::sample::Index>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let (name, run) = TARGETS[target];
            let mut seed = seed.get(&seeds(name)).clone();
            for (place, byte) in changes {
                let place = place.index(seed.len());
                seed[place] = byte;
            }
            run(&seed);
        }
    }
}

//! A batch on the wire: packed observations behind one header, compressed.
//!
//! Observations are packed once, when they are masked. A batch is its header with the packed ones appended as they
//! are, so that a large batch costs no second serialisation; a test reads it back through the contract's type.

use contract::wire::{Batch, Ledger, WIRE_VERSION};

/// What a batch says of itself.
#[derive(Clone, Debug)]
pub struct Header {
    /// Who sends.
    pub source: String,
    /// Start time of this process, milliseconds since the Unix epoch.
    pub epoch: u64,
    /// Number of the batch.
    pub seq: u64,
    /// When it was closed.
    pub sent_at_ms: i64,
    /// The account at that moment.
    pub ledger: Ledger,
}

/// Level 3 is the library's default: about 300 MB/s, and observations shrink to a fifth.
const ZSTD_LEVEL: i32 = 3;
/// MessagePack: an array with a length of 32 bits.
const ARRAY_32: u8 = 0xdd;

/// The body of a post.
///
/// # Errors
/// Where the header cannot be packed or the compressor fails; neither depends on what observations hold.
pub fn body<'a>(
    header: Header,
    observations: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let Header { source, epoch, seq, sent_at_ms, ledger } = header;
    let empty = Batch { wire: WIRE_VERSION, source, epoch, seq, sent_at_ms, ledger, observations: vec![] };
    let mut plain = rmp_serde::to_vec_named(&empty)?;
    // `observations` is the last field and empty: its one byte gives way to a header that counts what follows
    plain.pop();
    plain.push(ARRAY_32);
    plain.extend(u32::try_from(observations.len())?.to_be_bytes());
    observations.for_each(|packed| plain.extend_from_slice(packed));
    // in one piece, which says its length: the collector makes room for it once
    Ok(zstd::bulk::compress(&plain, ZSTD_LEVEL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::wire::Observation;

    #[test]
    fn the_contract_reads_what_is_put_together() {
        let line =
            r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok"}"#;
        let observation: Observation = serde_json::from_str(line).unwrap();
        let packed = rmp_serde::to_vec_named(&observation).unwrap();
        for n in [0, 1, 40] {
            let ledger = Ledger { observed: 9, delivered: 4, dropped: 3, in_flight: 2 };
            let header = Header { source: "here".into(), epoch: 7, seq: 8, sent_at_ms: 9, ledger };
            let body = body(header, vec![packed.as_slice(); n].into_iter()).unwrap();
            let batch: Batch = rmp_serde::from_slice(&zstd::decode_all(body.as_slice()).unwrap()).unwrap();
            assert_eq!((batch.wire, batch.source.as_str(), batch.epoch, batch.seq), (WIRE_VERSION, "here", 7, 8));
            assert_eq!((batch.sent_at_ms, batch.ledger), (9, ledger));
            assert_eq!(batch.observations, vec![observation.clone(); n]);
        }
    }
}

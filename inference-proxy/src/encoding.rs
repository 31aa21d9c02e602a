//! Compressed bodies: gzip and deflate, both ways.
//!
//! A body is inflated as far as the limit of a body and no further, so a small request cannot become a large one. What
//! is called `deflate` comes wrapped by zlib, as RFC 9110 says, or bare, as some clients send it.

use std::io::{self, Read, Write};

use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::error::ApiError;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// gzip.
    Gzip,
    /// deflate.
    Deflate,
}

/// Answers below this are sent as they are: what is saved would not fill a packet.
const WORTHWHILE: usize = 1_024;

impl Coding {
    /// Its name in headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// How a request's body is compressed.
    ///
    /// # Errors
    /// 415 for any other way.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let name = String::from_utf8_lossy(value.as_bytes());
            if name.trim().eq_ignore_ascii_case("identity") {
                continue;
            }
            let coding = Self::named(&name).filter(|_| found.is_none());
            found = Some(coding.ok_or_else(|| ApiError::content_encoding(&name))?);
        }
        Ok(found)
    }

    /// How the client would have its answer: what it prefers of the two, gzip where it does not care.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<(f32, Self)> = None;
        for item in values.flat_map(|value| value.split(',')) {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let Some(coding) = Self::named(name) else { continue };
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()).unwrap_or(0.0);
            let better = best.is_none_or(|(before, _)| weight > before || (weight >= before && coding == Self::Gzip));
            if weight > 0.0 && better {
                best = Some((weight, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }

    /// The body as it was before it was compressed.
    ///
    /// # Errors
    /// 413 where it is larger than the limit, 400 where it is not what it says.
    pub fn unpack(self, body: &[u8], limit: usize) -> Result<Vec<u8>, ApiError> {
        // RFC 1950: the method is 8, and the first two bytes are a multiple of 31
        let wrapped = body
            .first_chunk()
            .is_some_and(|head: &[u8; 2]| head[0] & 15 == 8 && u16::from_be_bytes(*head).is_multiple_of(31));
        let mut inflated = Vec::new();
        let most = limit as u64 + 1;
        let read = match self {
            Self::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut inflated),
            Self::Deflate if wrapped => ZlibDecoder::new(body).take(most).read_to_end(&mut inflated),
            Self::Deflate => DeflateDecoder::new(body).take(most).read_to_end(&mut inflated),
        };
        match read {
            Ok(_) if inflated.len() > limit => Err(ApiError::body_too_large(limit)),
            Ok(_) => Ok(inflated),
            Err(error) => {
                let name = self.as_str();
                Err(ApiError::invalid(
                    "broken_body",
                    format!("the body is not the {name} that it is said to be: {error}"),
                ))
            }
        }
    }

    /// Whether an answer of so many bytes is worth it.
    #[must_use]
    pub const fn pays(bytes: usize) -> bool {
        bytes >= WORTHWHILE
    }

    /// The chunks as one compressed body, at the speed that costs the answer least.
    ///
    /// # Errors
    /// None in memory, but the encoders' interface has them.
    pub fn pack<'a>(self, chunks: impl IntoIterator<Item = &'a bytes::Bytes>) -> io::Result<Vec<u8>> {
        fn all<'a, W: Write>(mut to: W, chunks: impl IntoIterator<Item = &'a bytes::Bytes>) -> io::Result<W> {
            chunks.into_iter().try_for_each(|chunk| to.write_all(chunk))?;
            Ok(to)
        }
        match self {
            Self::Gzip => all(GzEncoder::new(Vec::new(), Compression::fast()), chunks)?.finish(),
            Self::Deflate => all(ZlibEncoder::new(Vec::new(), Compression::fast()), chunks)?.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue, StatusCode};
    use axum::response::IntoResponse;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_client_says_what_it_takes() {
        for (said, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("deflate, gzip, br, zstd", Some(Coding::Gzip)),
            ("gzip;q=0.5, deflate;q=0.8", Some(Coding::Deflate)),
            ("gzip;q=0, identity", None),
            ("br", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(Coding::accepted(&headers(header::ACCEPT_ENCODING, said)), coding, "{said}");
        }
    }

    #[test]
    fn only_the_two_are_taken() {
        let of = |said| Coding::of(&headers(header::CONTENT_ENCODING, said));
        assert_eq!(of("GZIP"), Ok(Some(Coding::Gzip)));
        assert_eq!(of("identity"), Ok(None));
        for said in ["br", "gzip, deflate", "zstd"] {
            assert_eq!(of(said).unwrap_err().into_response().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{said}");
        }
    }

    #[test]
    fn a_bomb_is_cut_off_and_a_broken_body_is_told() {
        let zeros = Bytes::from(vec![0; 10_000_000]);
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bomb = coding.pack([&zeros]).unwrap();
            assert!(bomb.len() < 100_000);
            let status = |error: ApiError| error.into_response().status();
            assert_eq!(status(coding.unpack(&bomb, 9_999_999).unwrap_err()), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(coding.unpack(&bomb, 10_000_000).unwrap(), zeros);
            assert_eq!(
                status(coding.unpack(&bomb[..bomb.len() / 2], 10_000_000).unwrap_err()),
                StatusCode::BAD_REQUEST
            );
            assert_eq!(status(coding.unpack(&[0xff; 8], 100).unwrap_err()), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn bare_deflate_is_taken_too() {
        // python3 -c "import zlib; c = zlib.compressobj(wbits=-15); print((c.compress(b'driftline') + c.flush()).hex())"
        let bare = hex::decode("4b29ca4c2bc9c9cc4b0500").unwrap();
        assert_eq!(Coding::Deflate.unpack(&bare, 100).unwrap(), b"driftline");
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..99), 0..9)) {
            let chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
            for coding in [Coding::Gzip, Coding::Deflate] {
                prop_assert_eq!(coding.unpack(&coding.pack(&chunks).unwrap(), 10_000).unwrap(), chunks.concat());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let _ = coding.unpack(&bytes, 1_000);
            }
        }
    }
}

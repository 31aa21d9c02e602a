//! One message in, one out: tonic's framing and compression around prost's encoding, with our limits and our errors.
//!
//! A few bytes of protobuf can become a large structure in memory (an empty tensor is two bytes on the wire and hundreds
//! decoded), so the fields of a message are counted before it is decoded.

use std::future::Future;
use std::marker::PhantomData;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::{Code, Status};

use crate::encoding::Coding;
use crate::error::ApiError;

/// Most fields of a message, those of the messages in it left out.
const MAX_FIELDS: usize = 1_024;
/// Most elements that a request's tensors may have one by one: an empty one is two bytes on the wire and dozens decoded.
/// Numbers come packed, many to a field, and raw contents are one field.
const MAX_ELEMENTS: usize = 1 << 17;
/// Where they are: in each of `inputs` its `contents`, and in each of `outputs` its parameters. No other message has these
/// fields.
const NESTED: [&[u32]; 2] = [&[5, 5], &[6]];

/// Decodes a message, unless it has more fields than any request needs.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, String> {
    if fields(bytes.clone(), &[]).map_err(|error| error.to_string())? > MAX_FIELDS {
        return Err(format!("it has more than {MAX_FIELDS} fields"));
    }
    for nested in NESTED {
        if fields(bytes.clone(), nested).map_err(|error| error.to_string())? > MAX_ELEMENTS {
            return Err(format!(
                "its tensors have more than {MAX_ELEMENTS} elements and parameters; send raw contents"
            ));
        }
    }
    M::decode(bytes).map_err(|error| error.to_string())
}

/// Number of fields of a message and of those messages in it that lie on the path.
fn fields(mut rest: Bytes, path: &[u32]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while rest.has_remaining() {
        let (tag, wire_type) = decode_key(&mut rest)?;
        let field = rest.clone();
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        count += 1;
        if let Some((first, path)) = path.split_first()
            && (tag, wire_type) == (*first, WireType::LengthDelimited)
        {
            let mut field = field.slice(..field.len() - rest.len());
            decode_varint(&mut field)?;
            count += fields(field, path)?;
        }
    }
    Ok(count)
}

/// Answers a call of one message each way.
///
/// # Errors
/// What the handler said, or what is wrong with the message.
pub async fn unary<Q, A, F>(
    request: Request,
    limit: usize,
    handler: impl FnOnce(Q) -> F + Send,
) -> Result<Response, ApiError>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, ApiError>> + Send,
{
    let coding = request.headers().get(ENCODING).cloned();
    let mut grpc = grpc(&request, limit);
    let mut handler = Some(handler);
    let service = tower::service_fn(move |asked: tonic::Request<Q>| {
        let answering = handler.take().map(|handler| handler(asked.into_inner()));
        async move {
            match answering {
                Some(answering) => answering.await.map(sent).map_err(Status::from),
                None => Err(Status::internal("a call is answered once")),
            }
        }
    });
    let response = grpc.unary(service, request).await;
    match response.extensions().get::<Status>() {
        None => Ok(response.map(Body::new)),
        Some(status) => {
            let coding = coding.as_ref().map(|coding| String::from_utf8_lossy(coding.as_bytes()));
            Err(refused(status, limit, coding.as_deref().unwrap_or_default()))
        }
    }
}

const ENCODING: &str = "grpc-encoding";

/// Marks a request whose answer is not to be compressed, whatever its own messages are.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// Answers are compressed for who compresses: clients say that they could inflate also where they would rather not.
fn grpc<Q: Message + Default + 'static, A: Message + 'static>(request: &Request, limit: usize) -> Grpc<Messages<Q, A>> {
    let grpc = Grpc::new(Messages(PhantomData))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(limit);
    let plain = request.extensions().get::<Plain>().is_some();
    match request.headers().get(ENCODING).filter(|_| !plain).map(|value| value.as_bytes()) {
        Some(b"gzip") => grpc.send_compressed(CompressionEncoding::Gzip),
        Some(b"deflate") => grpc.send_compressed(CompressionEncoding::Deflate),
        _ => grpc,
    }
}

fn sent<A: Message>(answer: A) -> tonic::Response<A> {
    let pays = Coding::pays(answer.encoded_len());
    let mut response = tonic::Response::new(answer);
    if !pays {
        response.disable_compression();
    }
    response
}

/// Our error where the handler refused; else what tonic says of the message, in our words.
fn refused(status: &Status, limit: usize, coding: &str) -> ApiError {
    let ours = std::error::Error::source(status).and_then(|source| source.downcast_ref::<ApiError>());
    if let Some(error) = ours {
        return error.clone();
    }
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => ApiError::body_too_large(limit),
        Code::Unimplemented => ApiError::content_encoding(coding),
        Code::InvalidArgument => ApiError::invalid("bad_message", status.message()),
        _ => ApiError::invalid("broken_body", format!("the message cannot be read: {}", status.message())),
    }
}

/// prost's messages, counted before they are decoded.
struct Messages<Q, A>(PhantomData<(Q, A)>);

/// One direction of them.
struct One<M>(PhantomData<M>);

impl<Q: Message + Default + 'static, A: Message + 'static> Codec for Messages<Q, A> {
    type Encode = A;
    type Decode = Q;
    type Encoder = One<A>;
    type Decoder = One<Q>;

    fn encoder(&mut self) -> One<A> {
        One(PhantomData)
    }

    fn decoder(&mut self) -> One<Q> {
        One(PhantomData)
    }
}

impl<M: Message> Encoder for One<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, message: M, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(into).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<M: Message + Default> Decoder for One<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let unread = |what| Status::invalid_argument(format!("the message cannot be read: {what}"));
        decode(bytes).map(Some).map_err(unread)
    }
}

#[cfg(test)]
mod tests {
    use prost::encoding::encode_key;
    use prost::encoding::encode_varint;

    use super::*;
    use crate::grpc::message::ModelInferRequest;

    /// A field that holds `inner`.
    fn field(tag: u32, inner: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(tag, WireType::LengthDelimited, &mut bytes);
        encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend_from_slice(inner);
        bytes
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_decoded_is_refused_before_it_is_decoded() {
        let empty = field(8, b"");
        let texts = field(5, &field(5, &empty.repeat(MAX_ELEMENTS + 1)));
        let cut = {
            // many empty texts, and a last field that is cut off
            let mut contents = empty.repeat(MAX_ELEMENTS + 1);
            contents.extend([0x42, 0x7f]);
            field(5, &field(5, &contents))
        };
        let parameters = field(6, &field(2, b"").repeat(MAX_ELEMENTS + 1));
        for bytes in [texts, cut, parameters] {
            let error = decode::<ModelInferRequest>(bytes.into()).unwrap_err();
            assert!(error.contains("more than") || error.contains("underflow"), "{error}");
        }
        let fine = field(5, &field(5, &empty.repeat(100)));
        assert!(decode::<ModelInferRequest>(fine.into()).is_ok());
    }
}

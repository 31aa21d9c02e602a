//! `grpc.reflection.v1.ServerReflection`, and its older twin `v1alpha`: a client that has no definitions asks for them, as
//! `grpcurl` and Postman do (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::MAX_QUESTION_BYTES;
use super::codec;
use super::descriptor::File;
use super::frames::{self, Cutter, Frames};
use super::stream::{About, Streams};

/// The calls are the same but for their names.
const CALLS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let texts = [
        ("inference.proto", include_str!("inference.proto")),
        ("grpc/health/v1/health.proto", include_str!("health.proto")),
    ];
    // a test reads both
    texts.into_iter().filter_map(|(name, text)| File::read(name, text).ok()).collect()
});

/// Both calls; a stream ends with the server, or where nothing is asked or read for too long.
pub fn router() -> Router<Arc<Streams>> {
    CALLS.into_iter().fold(Router::new(), |router, call| {
        let asked = async move |State(streams): State<Arc<Streams>>, request: Request| {
            reflect(streams, About::new(call, &request), request)
        };
        router.route(call, post(asked))
    })
}

/// `ServerReflectionRequest`.
#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
    question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Question {
    #[prost(string, tag = "3")]
    FileByFilename(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    /// `ExtensionRequest`; proto3 has no extensions.
    #[prost(bytes = "bytes", tag = "5")]
    FileContainingExtension(Bytes),
    #[prost(string, tag = "6")]
    AllExtensionNumbersOfType(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

/// `ServerReflectionResponse`.
#[derive(Clone, PartialEq, Message)]
struct Answered {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<Asked>,
    #[prost(oneof = "Answer", tags = "4, 6, 7")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Answer {
    #[prost(message, tag = "4")]
    FileDescriptors(Descriptors),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Refusal),
}

/// `FileDescriptorResponse`.
#[derive(Clone, PartialEq, Message)]
struct Descriptors {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// `ListServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<ServiceName>,
}

/// `ServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ServiceName {
    #[prost(string, tag = "1")]
    name: String,
}

/// `ErrorResponse`.
#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn reflect(streams: Arc<Streams>, about: About, request: Request) -> Response {
    let (said, body) = Frames::channel();
    tokio::spawn(async move {
        let told = tell(Cutter::of_stream(request.into_body(), streams.idle_max), &said, streams.idle_max);
        let status = tokio::select! {
            status = told => status,
            () = streams.stopping.cancelled() => Some(Status::unavailable("the server stops")),
            () = said.closed() => return,
        };
        let Some(status) = status else { return streams.unread(&about) };
        streams.ended(&status, &about);
        let _gone = tokio::time::timeout(streams.idle_max, said.send(Err(status))).await;
    });
    frames::response(body)
}

/// Answers question by question; gives the status at the end, none where nobody reads the answers.
async fn tell(mut asked: Cutter, said: &mpsc::Sender<Result<Bytes, Status>>, idle_max: Duration) -> Option<Status> {
    loop {
        let message = match asked.message(MAX_QUESTION_BYTES).await {
            Ok(Some(message)) => message,
            Ok(None) => return Some(Status::ok("")),
            Err(status) => return Some(status),
        };
        let asked: Asked = match codec::decode(message) {
            Ok(asked) => asked,
            Err(what) => return Some(Status::invalid_argument(format!("the message cannot be read: {what}"))),
        };
        let answer = Some(answer(&asked, &FILES));
        let answered = Answered { valid_host: asked.host.clone(), original_request: Some(asked), answer };
        match tokio::time::timeout(idle_max, said.send(Ok(frames::framed(&answered.encode_to_vec())))).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return Some(Status::cancelled("nobody listens any more")),
            Err(_) => return None,
        }
    }
}

fn answer(asked: &Asked, files: &[File]) -> Answer {
    let of = |file: Option<&File>, what: &str| match file {
        Some(file) => Answer::FileDescriptors(Descriptors { files: vec![file.encode_to_vec()] }),
        None => refused(Code::NotFound, format!("there is no '{what}' here")),
    };
    match &asked.question {
        Some(Question::FileByFilename(name)) => of(files.iter().find(|file| file.name == *name), name),
        Some(Question::FileContainingSymbol(symbol)) => of(files.iter().find(|file| file.defines(symbol)), symbol),
        Some(Question::ListServices(_)) => {
            let services = files.iter().flat_map(File::services).map(|name| ServiceName { name }).collect();
            Answer::Services(Services { services })
        }
        Some(Question::FileContainingExtension(_) | Question::AllExtensionNumbersOfType(_)) => {
            refused(Code::NotFound, "nothing here has extensions".to_owned())
        }
        None => refused(Code::InvalidArgument, "nothing is asked".to_owned()),
    }
}

fn refused(code: Code, message: String) -> Answer {
    Answer::Error(Refusal { code: code.into(), message })
}

//! `grpc.reflection.v1.ServerReflection`, and its older twin `v1alpha`: a client that has no definitions asks for them, as
//! `grpcurl` and Postman do (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>).

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::MAX_QUESTION_BYTES;
use super::codec;
use super::descriptor::File;
use super::frames::{self, Cutter, Frames};

/// The calls are the same but for their names.
const VERSIONS: [&str; 2] = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let texts = [
        ("inference.proto", include_str!("inference.proto")),
        ("grpc/health/v1/health.proto", include_str!("health.proto")),
    ];
    // a test reads both
    texts.into_iter().filter_map(|(name, text)| File::read(name, text).ok()).collect()
});

/// Both calls; a stream ends with the server, or where nothing is asked or read for `idle_max`.
pub fn router<S: Clone + Send + Sync + 'static>(stopping: &CancellationToken, idle_max: Duration) -> Router<S> {
    VERSIONS.iter().fold(Router::new(), |router, version| {
        let stopping = stopping.clone();
        let call = format!("/{version}/ServerReflectionInfo");
        router.route(&call, post(move |request| std::future::ready(reflect(stopping, idle_max, request))))
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

fn reflect(stopping: CancellationToken, idle_max: Duration, request: Request) -> Response {
    let (said, body) = Frames::channel();
    tokio::spawn(async move {
        let told = tell(Cutter::of_stream(request.into_body(), idle_max), &said, idle_max);
        let status = tokio::select! {
            status = told => status,
            () = stopping.cancelled() => Status::unavailable("the server stops"),
            () = said.closed() => return,
        };
        let _gone = tokio::time::timeout(idle_max, said.send(Err(status))).await;
    });
    frames::response(body)
}

/// Answers question by question; gives the status at the end.
async fn tell(mut asked: Cutter, said: &mpsc::Sender<Result<Bytes, Status>>, idle_max: Duration) -> Status {
    loop {
        let message = match asked.message(MAX_QUESTION_BYTES).await {
            Ok(Some(message)) => message,
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        };
        let asked: Asked = match codec::decode(message) {
            Ok(asked) => asked,
            Err(what) => return Status::invalid_argument(format!("the message cannot be read: {what}")),
        };
        let answer = Some(answer(&asked, &FILES));
        let answered = Answered { valid_host: asked.host.clone(), original_request: Some(asked), answer };
        let Ok(Ok(())) = tokio::time::timeout(idle_max, said.send(Ok(frames::framed(&answered.encode_to_vec())))).await
        else {
            return Status::cancelled("nobody listens any more");
        };
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

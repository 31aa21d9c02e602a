//! Bad input gets the right status and one sentence that says what and where.

use serde_json::{Value, json};

use crate::harness::{Driftline, TEXT_MODEL};

/// Status and a part of the sentence.
struct Expected(u16, &'static str);

async fn check(driftline: &Driftline, path: &str, body: Vec<u8>, Expected(status, part): Expected) {
    let url = format!("{}{path}", driftline.proxy);
    let (seen, answer) = driftline.post_raw(&url, "application/json", body.clone()).await;
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    assert_eq!(seen, status, "{path} {shown}: {answer}");
    let sentence = answer["error"].as_str().unwrap_or_default();
    assert!(sentence.contains(part), "{path} {shown}: '{sentence}' does not say '{part}'");
    assert_eq!(
        answer.as_object().map(serde_json::Map::len),
        Some(1),
        "the error object is exactly {{\"error\": …}}: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_one_sentence_that_says_what_and_where() {
    let driftline = Driftline::up().await;
    let predict = format!("/v1/models/{TEXT_MODEL}/predict");
    let infer = format!("/v2/models/{TEXT_MODEL}/infer");
    let version_99 = format!("/v2/models/{TEXT_MODEL}/versions/99/infer");
    let text = |v: Value| v.to_string().into_bytes();
    let long = "word ".repeat(2_001);
    let cases: Vec<(&str, Vec<u8>, Expected)> = vec![
        (&predict, b"{\"text\": ".to_vec(), Expected(400, "line 1")),
        (&predict, b"{\"text\": \"\xff\xfe\"}".to_vec(), Expected(400, "UTF-8")),
        (&predict, text(json!({"text": ""})), Expected(400, "empty")),
        (&predict, text(json!({"text": long})), Expected(400, "10000")),
        (&predict, text(json!({"texts": ["fine", ""]})), Expected(400, "1")),
        (&predict, text(json!({"texts": []})), Expected(400, "texts")),
        (&predict, text(json!({"txt": "x"})), Expected(400, "txt")),
        (&predict, text(json!([1, 2])), Expected(400, "")),
        ("/v1/models/nobody/predict", text(json!({"text": "x"})), Expected(404, "nobody")),
        (&version_99, text(json!({"inputs": []})), Expected(404, "99")),
        (&infer, text(json!({"inputs": []})), Expected(400, "input")),
        (
            &infer,
            text(json!({"inputs": [{"name": "nope", "shape": [1], "datatype": "BYTES", "data": ["x"]}]})),
            Expected(400, "nope"),
        ),
        (
            &infer,
            text(json!({"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["x"]}]})),
            Expected(400, "shape"),
        ),
        (
            &infer,
            text(json!({"inputs": [{"name": "text", "shape": [1], "datatype": "FP99", "data": [1]}]})),
            Expected(400, "datatype"),
        ),
        (
            &infer,
            b"{\"inputs\": [{\"name\": \"x\", \"shape\": [1], \"datatype\": \"FP32\", \"data\": [NaN]}]}".to_vec(),
            Expected(400, "line 1"),
        ),
        (&infer, "[".repeat(200_000).into_bytes(), Expected(400, "")),
    ];
    let asked = cases.len();
    for (path, body, expected) in cases {
        check(&driftline, path, body, expected).await;
    }
    let (status, _) =
        driftline.post_raw(&format!("{}{predict}", driftline.proxy), "application/json", vec![b'x'; 64 << 20]).await;
    assert_eq!(status, 413);
    // each of them was observed, none as an error of ours
    driftline.drained_ledger().await;
    let errors = driftline.metric(&driftline.proxy, contract::metrics::proxy::REQUESTS.name, "outcome=\"error\"").await;
    assert_eq!(errors, 0.0);
    let invalid =
        driftline.metric(&driftline.proxy, contract::metrics::proxy::REQUESTS.name, "outcome=\"invalid\"").await;
    assert!(invalid >= asked as f64, "{invalid} of {asked} bad requests were observed");
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_batch_is_refused_with_its_field() {
    let driftline = Driftline::up().await;
    let url = format!("{}/v1/observations", driftline.collector);
    for (body, part) in [
        (json!({"wire": 9, "source": "s", "epoch": 1, "seq": 1, "sent_at_ms": 1, "observations": []}), "wire"),
        (json!({"wire": 1, "source": "s", "epoch": 1, "seq": 1, "sent_at_ms": 1, "observation": []}), "observation"),
        (json!({"model": "m"}), ""),
    ] {
        let (status, answer) = driftline.post(&url, &body).await;
        assert!([400, 422].contains(&status), "{body}: {status} {answer}");
        let sentence = answer["error"].as_str().expect("a sentence");
        assert!(sentence.contains(part), "'{sentence}' does not name '{part}'");
    }
    let (status, _) = driftline.post_raw(&url, "application/msgpack", vec![0xc1; 100]).await;
    assert_eq!(status, 400);
    driftline.stop().await;
}

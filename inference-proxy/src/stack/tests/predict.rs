//! `/predict` and the protocol with a model of each task: the shapes that `docs/predict.md` promises.

use super::*;
use crate::encoding::Coding;

/// A proxy that serves the models of every task.
async fn proxy() -> Proxy {
    Proxy::start(|raw| {
        raw.models.models_dir = fixtures().join("../tasks");
        raw.models.models.clear();
    })
    .await
}

async fn ask(proxy: &Proxy, model: &str, body: Value) -> Value {
    let (status, _, answer) = proxy.call("POST", &format!("/v1/models/{model}/predict"), body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["model"], &answer["version"]), (&json!(model), &json!("1")));
    assert!(answer["id"].is_string() && answer["timing_ms"]["total"].as_f64().unwrap() > 0.0, "{answer}");
    answer
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn categories<'a>(observation: &'a Observation, name: &str) -> Vec<&'a str> {
    let of = observation.features.iter().filter(|f| f.name == name);
    of.map(|f| match &f.value {
        FeatureValue::Category(category) => category.as_str(),
        other => panic!("{name} is {other:?}"),
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_answers_in_its_own_shape() {
    let proxy = proxy().await;
    let answer = ask(&proxy, "tagger", json!({"text": "Åsa Öst sent the parcel from New York to Oslo."})).await;
    assert_eq!(answer["task"], "token-classification");
    let found = &answer["predictions"][0];
    assert_eq!(keys(found), ["entities", "truncated"]);
    let york = &found["entities"][1];
    assert_eq!((&york["label"], &york["text"]), (&json!("LOC"), &json!("New York")));
    assert_eq!((&york["start"], &york["end"]), (&json!(29), &json!(37)));

    let answer = ask(&proxy, "embedder", json!({"texts": ["where is my parcel", "the cat sat"]})).await;
    assert_eq!(keys(&answer["predictions"][1]), ["embedding", "truncated"]);
    assert_eq!(answer["predictions"][1]["embedding"].as_array().unwrap().len(), 16);

    let answer = ask(&proxy, "topics", json!({"text": "my parcel is late and I get a refund", "top_k": 2})).await;
    let found = &answer["predictions"][0];
    assert_eq!(keys(found), ["confidence", "label", "labels", "scores", "truncated"]);
    assert_eq!((&found["label"], &found["labels"]), (&json!("delivery"), &json!(["delivery", "money"])));
    assert_eq!(keys(&found["scores"]), ["delivery", "money"], "the best two");

    let pairs = json!({"texts": [["the cat sat", "the cat"], {"text": "where", "text_pair": "the dog"}]});
    let answer = ask(&proxy, "matcher", pairs).await;
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(keys(&answer["predictions"][0]["scores"]), ["SAME"]);
    let single = ask(&proxy, "matcher", json!({"text": "the cat sat", "text_pair": "the cat"})).await;
    assert_eq!(single["predictions"][0]["scores"], answer["predictions"][0]["scores"]);

    let (observations, ..) = proxy.finish().await;
    let of = |model: &str| observations.iter().find(|o| o.model == model).unwrap();
    assert_eq!(categories(of("tagger"), "output.entity"), ["PER", "LOC", "LOC"]);
    assert!((number(of("tagger"), "output.entities") - 3.0).abs() < 1e-9);
    assert!((number(of("embedder"), "output.sentence_embedding.norm") - 1.0).abs() < 1e-5);
    let projections = of("embedder").features.iter().filter(|f| f.name.starts_with("output.sentence_embedding.p"));
    assert_eq!(projections.count(), 16, "eight an item");
    assert_eq!(categories(of("topics"), "output.label_2"), ["money"]);
    assert!((number(of("topics"), "output.labels") - 2.0).abs() < 1e-9);
    assert_eq!(of("matcher").items, 2);
    assert!((number(of("matcher"), "text.chars") - 18.0).abs() < 1e-9, "both texts of the first pair");
    let Payload::Kept(content) = &of("matcher").payload else { panic!("{:?}", of("matcher").payload) };
    assert_eq!(content.input["texts"], json!([["the cat sat", "the cat"], ["where", "the dog"]]));
    let Payload::Kept(content) = &of("tagger").payload else { panic!("{:?}", of("tagger").payload) };
    assert_eq!(content.output["entities"][0][1]["label"], "LOC");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_body_is_told_what_is_wrong() {
    let proxy = proxy().await;
    for (body, part) in [
        (json!({"texts": ["a", ["b", "c"]]}), "single texts and pairs"),
        (json!({"texts": [["a", "b", "c"]]}), "an item of `texts` must be"),
        (json!({"texts": [["a"]]}), "an item of `texts` must be"),
        (json!({"texts": [{"text": "a", "pair": "b"}]}), "an item of `texts` must be"),
        (json!({"texts": [{"text_pair": "a"}]}), "an item of `texts` has no `text`"),
        (json!({"text_pair": "a"}), "no `text` that it belongs to"),
        (json!({"text": "a", "texts": ["b"]}), "both `text` and `texts`"),
        (json!({"text": "a", "top_k": 0}), "`top_k` must be at least 1"),
        (json!({"text": "a", "top_k": -1}), "invalid value"),
    ] {
        let (status, _, answer) = proxy.call("POST", "/v1/models/matcher/predict", body.to_string()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_carries_entities_pairs_and_schemas() {
    let proxy = proxy().await;
    let infer = async |model: &str, inputs: Value| {
        let path = format!("/v2/models/{model}/infer");
        let (status, _, answer) = proxy.call("POST", &path, json!({ "inputs": inputs }).to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer["outputs"].as_array().unwrap().clone()
    };
    let text = |name: &str, shape: &[usize], data: &[&str]| json!({"name": name, "shape": shape, "datatype": "BYTES", "data": data});
    let outputs = infer("tagger", json!([text("text", &[1], &["Anna was in Malmö"])])).await;
    assert_eq!(outputs[1]["name"], "entities");
    assert_eq!((&outputs[2]["name"], &outputs[2]["data"]), (&json!("truncated"), &json!([false])));
    let entities: Value = serde_json::from_str(outputs[1]["data"][0].as_str().unwrap()).unwrap();
    assert_eq!((&entities[1]["text"], &entities[1]["start"]), (&json!("Malmö"), &json!(12)));
    let (_, _, metadata) = proxy.call("GET", "/v2/models/tagger", "").await;
    let names: Vec<_> = metadata["outputs"].as_array().unwrap().iter().map(|o| o["name"].clone()).collect();
    assert_eq!(names, ["logits", "entities", "truncated"]);

    let one = infer("matcher", json!([text("text", &[1, 2], &["the cat sat", "the cat"])])).await;
    let two = [text("text_pair", &[1], &["the cat"]), text("text", &[1], &["the cat sat"])];
    assert_eq!(infer("matcher", json!(two)).await, one);

    let ages = json!({"name": "age", "shape": [2, 1], "datatype": "FP32", "data": [50, 101]});
    let outputs = infer("loans", json!([ages, text("home", &[2, 1], &["own", "boat"])])).await;
    assert_eq!(outputs[0]["data"][0], "good");

    let (observations, _, metrics) = proxy.finish().await;
    let loan = observations.iter().find(|o| o.model == "loans").unwrap();
    assert_eq!(loan.predictions[0].label, "good");
    assert_eq!(categories(loan, "input.home"), ["own", "boat"]);
    assert_eq!(categories(loan, "quality.out_of_range"), ["age"]);
    assert_eq!(categories(loan, "quality.unseen_category"), ["home"]);
    let violations: Vec<_> =
        loan.features.iter().filter(|f| f.name == "quality.violations").map(|f| &f.value).collect();
    assert_eq!(violations, [&FeatureValue::Number(0.0), &FeatureValue::Number(2.0)]);
    let line = "driftline_proxy_schema_violations_total{feature=\"age\",model=\"loans\",reason=\"out_of_range\",version=\"1\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

/// As in Triton, halves travel as raw bytes only; what is made of them (probabilities, labels) goes as JSON too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_go_out_as_raw_bytes_and_what_is_made_of_them_as_json() {
    let proxy = proxy().await;
    let oracle: Value =
        serde_json::from_str(&std::fs::read_to_string(fixtures().join("../tasks/oracle.json")).unwrap()).unwrap();
    let (text, expected) = (&oracle["halves"]["texts"][0], &oracle["halves"]["scores"][0]);
    let near = |found: &Value, expected: &Value| {
        assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 5e-3, "{found} is not {expected}");
    };
    let answer = ask(&proxy, "mood-fp16", json!({ "text": text })).await;
    for (mood, expected) in ["calm", "cross", "glad"].iter().zip(expected.as_array().unwrap()) {
        near(&answer["predictions"][0]["scores"][mood], expected);
    }
    let infer = async |outputs: Value| {
        let inputs = json!([{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]);
        let body = json!({"inputs": inputs, "outputs": outputs}).to_string();
        let request = Request::post("/v2/models/mood-fp16/infer").body(Body::from(body)).unwrap();
        let answer = proxy.service.router().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.into_body().collect().await.unwrap().to_bytes())
    };
    let (status, _, body) = infer(json!([{"name": "scores"}, {"name": "label"}])).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    near(&answer["outputs"][0]["data"][2], &expected[2]);
    let (status, _, body) = infer(json!([{"name": "logits"}])).await;
    let told = String::from_utf8_lossy(&body).into_owned();
    assert!(status == 400 && told.contains("output 'logits' is FP16, which JSON cannot carry"), "{status} {told}");
    let (status, headers, body) = infer(json!([{"name": "logits", "parameters": {"binary_data": true}}])).await;
    assert_eq!(status, 200);
    let head: usize = headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let logits: Vec<f64> =
        body[head..].chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect();
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    assert_eq!(logits.len(), 3);
    near(&json!(logits[0].exp() / sum), &expected[0]);
}

/// Vectors are long: whoever takes them compressed gets them so, and an answer that fits into a packet stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_compressed_for_who_takes_it_so() {
    let proxy = proxy().await;
    let asked = async |texts: usize, accepted: &'static str| {
        let body = json!({ "texts": vec!["where is my parcel"; texts] }).to_string();
        let request = Request::post("/v1/models/embedder/predict").header("accept-encoding", accepted);
        let answer = proxy.service.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let coding = answer.headers().get("content-encoding").map(|coding| coding.to_str().unwrap().to_owned());
        assert_eq!(
            (answer.status(), &answer.headers()["content-type"]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        (coding, answer.into_body().collect().await.unwrap().to_bytes())
    };
    let vectors = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["predictions"].take();
    let (plain_coding, plain) = asked(20, "identity").await;
    assert_eq!(plain_coding, None);
    for (name, coding) in [("gzip", Coding::Gzip), ("deflate", Coding::Deflate)] {
        let (told, packed) = asked(20, name).await;
        assert_eq!(told.as_deref(), Some(name));
        assert!(packed.len() * 2 < plain.len(), "{} of {} bytes", packed.len(), plain.len());
        assert_eq!(vectors(&coding.unpack(&packed, 1 << 20).unwrap()), vectors(&plain));
    }
    assert_eq!(asked(1, "gzip").await.0, None);
}

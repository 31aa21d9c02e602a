//! Names in what is mirrored, with a real model that finds them: masked, or not sent.

use super::*;

async fn proxy(names: &str) -> Proxy {
    Proxy::start(|raw| {
        raw.models.models_dir = fixtures().join("../tasks");
        raw.models.models.clear();
        raw.names = toml::from_str(names).unwrap();
    })
    .await
}

/// Asks two models, one of which gives back what it read, and gives what the collector was told of each.
async fn told(names: &str) -> (Vec<Observation>, String) {
    let proxy = proxy(names).await;
    let predict = async |model: &str, text: &str| {
        let path = format!("/v1/models/{model}/predict");
        let (status, _, answer) = proxy.call("POST", &path, json!({ "text": text }).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    };
    predict("topics", "where is the invoice of Annalena, New York?").await;
    predict("tagger", "Åsa Öst sent the parcel from New York to Oslo.").await;
    let ages = json!({"name": "age", "shape": [1, 1], "datatype": "FP32", "data": [50]});
    let home = json!({"name": "home", "shape": [1, 1], "datatype": "BYTES", "data": ["Malmö"]});
    let body = json!({"inputs": [ages, home]}).to_string();
    assert_eq!(proxy.call("POST", "/v2/models/loans/infer", body).await.0, 200);
    let (observations, ledger, metrics) = proxy.finish().await;
    assert_eq!((ledger.observed, ledger.delivered, ledger.in_flight), (3, 3, 0));
    (observations, metrics)
}

fn category<'a>(observation: &'a Observation, name: &str) -> &'a FeatureValue {
    &observation.features.iter().find(|feature| feature.name == name).unwrap().value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_masked_in_texts_answers_and_columns() {
    let (observations, metrics) = told("model = 'tagger'").await;
    let Payload::Kept(topic) = &observations[0].payload else { panic!("{:?}", observations[0].payload) };
    assert_eq!(topic.input, json!({"texts": ["where is the invoice of [PERSON], [PLACE]?"]}));
    let Payload::Kept(tags) = &observations[1].payload else { panic!("{:?}", observations[1].payload) };
    assert_eq!(tags.input, json!({"texts": ["[PERSON] sent the parcel from [PLACE] to [PLACE]."]}));
    let quoted: Vec<_> = tags.output["entities"][0].as_array().unwrap().iter().map(|e| e["text"].clone()).collect();
    assert_eq!(quoted, ["[PERSON]", "[PLACE]", "[PLACE]"]);
    assert_eq!(category(&observations[2], "input.home"), &FeatureValue::Category("[PLACE]".into()));
    assert!(number(&observations[0], "text.chars") > 0.0, "numbers are the text's as it was");
    let line = "driftline_mirror_masked_entities_total{entity=\"person\"} 3";
    assert!(metrics.contains(line), "{metrics}");
    assert!(!metrics.contains("driftline_masking_names_seconds_count 0"), "{metrics}");
}

/// One in time for nobody, one that classifies whole texts, one that is not there: what they are not asked is not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_the_observation_goes_without_its_texts() {
    for (names, reason) in [
        ("model = 'tagger'\ntimeout = '1ns'", "timeout"),
        ("model = 'topics'", "unavailable"),
        ("model = 'nowhere'", "unavailable"),
    ] {
        let (observations, metrics) = told(names).await;
        for observation in &observations {
            assert_eq!(observation.payload, Payload::Withheld("names_unavailable".into()), "{names}");
        }
        assert_eq!(category(&observations[2], "input.home"), &FeatureValue::Category("[WITHHELD]".into()));
        assert!((number(&observations[2], "input.age") - 50.0).abs() < 1e-9, "the numbers go");
        let failures = format!("driftline_masking_names_failures_total{{reason=\"{reason}\"}} 3");
        assert!(metrics.contains(&failures), "{names}\n{metrics}");
        let payloads = "driftline_mirror_payloads_total{reason=\"names_unavailable\",state=\"withheld\"} 3";
        assert!(metrics.contains(payloads), "{metrics}");
    }
}

/// A table that waits for names is held as the features that it became, many times the bytes of its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_names_is_weighed_as_what_it_is() {
    for (max_bytes, dropped) in [(80_000, 1), (8_000_000, 0)] {
        let proxy = Proxy::start(|raw| {
            raw.models.models_dir = fixtures().join("../tasks");
            raw.models.models.clear();
            raw.names = toml::from_str("model = 'tagger'").unwrap();
            raw.mirror.max_bytes = host::config::ByteSize::new(max_bytes);
            raw.mirror.max_observation_bytes = host::config::ByteSize::new(max_bytes);
        })
        .await;
        let ages = json!({"name": "age", "shape": [200, 1], "datatype": "FP32", "data": vec![50; 200]});
        let home = json!({"name": "home", "shape": [200, 1], "datatype": "BYTES", "data": vec!["Malmö"; 200]});
        let body = json!({"inputs": [ages, home]}).to_string();
        assert_eq!(proxy.call("POST", "/v2/models/loans/infer", body).await.0, 200);
        let (_, ledger, metrics) = proxy.finish().await;
        assert_eq!((ledger.observed, ledger.dropped, ledger.in_flight), (1, dropped, 0), "{max_bytes}");
        let full = format!("driftline_mirror_dropped_observations_total{{reason=\"full\"}} {dropped}");
        assert!(metrics.contains(&full), "{metrics}");
    }
}

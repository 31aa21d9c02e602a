//! Answers that are given again.

use super::*;

async fn proxy() -> Proxy {
    Proxy::start(|raw| {
        raw.cache.enabled = true;
        raw.models.tuning.max_time = Duration::ZERO;
    })
    .await
}

async fn ask(proxy: &Proxy, path: &str, body: Value) -> Value {
    let (status, _, answer) = proxy.call("POST", path, body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Value of the one series whose line begins so.
fn series(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{line} is not in\n{metrics}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_given_again_whatever_is_wanted_of_it() {
    let proxy = proxy().await;
    let predict = "/v1/models/router/predict";
    let first = ask(&proxy, predict, json!({"text": "where is my parcel"})).await;
    let again = ask(&proxy, predict, json!({"text": "where is my parcel"})).await;
    let best = ask(&proxy, predict, json!({"text": "where is my parcel", "top_k": 1})).await;
    let other = ask(&proxy, predict, json!({"text": "where is my parcel?"})).await;
    let cached = [&first, &again, &best, &other].map(|answer| answer["from_cache"].as_bool().unwrap());
    assert_eq!(cached, [false, true, true, false]);
    assert_eq!(first["predictions"], again["predictions"]);
    assert!(first["timing_ms"]["infer"].as_f64().unwrap() > 0.0);
    assert_eq!(again["timing_ms"]["infer"], 0.0);
    assert_eq!(best["predictions"][0]["scores"].as_object().unwrap().len(), 1, "cut after it was kept");
    assert_ne!(first["id"], again["id"], "each is an observation of its own");

    // the same tensors, asked for in another form
    let infer = "/v2/models/flowers/infer";
    let flower: Value = serde_json::from_str(FLOWER).unwrap();
    let whole = ask(&proxy, infer, json!({"inputs": [flower]})).await;
    let nested = json!({"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [[5.1, 3.5, 1.4, 0.2]]});
    let name = &whole["outputs"][1]["name"];
    let part = ask(&proxy, infer, json!({"inputs": [nested], "outputs": [{"name": name}]})).await;
    assert_eq!((&whole["parameters"], &part["parameters"]), (&Value::Null, &json!({"from_cache": "true"})));
    assert_eq!(part["outputs"], json!([whole["outputs"][1]]));

    let (_, _, stats) = proxy.call("GET", "/v2/models/router/versions/1/stats", "").await;
    let stats = &stats["model_stats"][0];
    let count = |of: &str| stats["inference_stats"][of]["count"].as_u64().unwrap();
    assert_eq!((count("success"), count("cache_hit"), count("cache_miss")), (4, 2, 2));
    assert_eq!(stats["inference_count"], 2, "what a session has run");

    let (_, _, text) = proxy.call("GET", "/metrics", "").await;
    let text = text.as_str().unwrap();
    let lookups = |outcome: &str| {
        let labels = format!("{{model=\"router\",outcome=\"{outcome}\",version=\"1\"}}");
        series(text, &format!("driftline_proxy_cache_lookups_total{labels}"))
    };
    assert_eq!((lookups("hit"), lookups("miss")), (2.0, 2.0));
    assert_eq!(series(text, "driftline_proxy_cache_answers"), 3.0);
    assert!(series(text, "driftline_proxy_cache_held_bytes") > 3.0 * 256.0);

    let (observations, ledger, _) = proxy.finish().await;
    assert_eq!((observations.len(), ledger.observed), (6, 6));
    let of: Vec<_> = observations.iter().map(|o| (o.timings.from_cache, o.timings.infer_us > 0)).collect();
    assert_eq!(of, [(false, true), (true, false), (true, false), (false, true), (false, true), (true, false)]);
    assert_eq!(observations[0].predictions, observations[1].predictions, "a hit is judged like any answer");
    assert!((number(&observations[1], "text.tokens") - number(&observations[0], "text.tokens")).abs() < 1e-9);
    assert_eq!(observations[1].shadows.len(), 1, "and its shadow is asked");
    assert!(!observations[1].shadows[0].timings.from_cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_answered_for_by_another() {
    let proxy = proxy().await;
    let body = || json!({"text": "where is my parcel"});
    let asked = async |path: &str| {
        let answer = ask(&proxy, path, body()).await;
        (answer["version"].clone(), answer["from_cache"].clone(), answer["predictions"][0]["scores"].clone())
    };
    let predict = "/v1/models/router/predict";
    let (_, _, of_one) = asked(predict).await;
    ask(&proxy, "/v1/models/router/promote", json!({"version": "2"})).await;
    let (version, cached, of_two) = asked(predict).await;
    assert_eq!((version, cached), (json!("2"), json!(false)));
    assert_ne!(of_one, of_two);
    assert_eq!(asked(predict).await, (json!("2"), json!(true), of_two));
    ask(&proxy, "/v1/models/router/rollback", json!({})).await;
    assert_eq!(asked(predict).await, (json!("1"), json!(true), of_one));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_line_in_the_configuration_nothing_is_kept() {
    let proxy = Proxy::start(|raw| raw.models.tuning.max_time = Duration::ZERO).await;
    for _ in 0..2 {
        let answer = ask(&proxy, "/v1/models/router/predict", json!({"text": "where is my parcel"})).await;
        assert_eq!(answer["from_cache"], false);
    }
    let (_, _, metrics) = proxy.finish().await;
    assert!(!metrics.contains("driftline_proxy_cache"), "{metrics}");
}

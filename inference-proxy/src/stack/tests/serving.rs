//! Answers that are given again, what runs cost, and Triton's names for what is counted.

use contract::wire::Provider;

use crate::model::{OnFailure, RawCuda};

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

/// The metrics, as soon as a line of them begins so.
async fn scraped(proxy: &Proxy, line: &str) -> String {
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = proxy.call("GET", "/metrics", "").await.2.as_str().unwrap().to_owned();
        if metrics.lines().any(|l| l.starts_with(line)) {
            return metrics;
        }
        assert!(std::time::Instant::now() < until, "{line} is not in\n{metrics}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
    let provider = |n: usize| observations[n].timings.provider;
    assert_eq!((provider(0), provider(1)), (Provider::Cpu, Provider::Unknown), "nothing ran for a hit");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_cost_what_their_time_costs() {
    let proxy = Proxy::start(|raw| {
        raw.models.tuning.max_time = Duration::ZERO;
        raw.models.prices.cpu_core = Some(3_600.0);
    })
    .await;
    for n in 0..3 {
        ask(&proxy, "/v1/models/router/predict", json!({"text": format!("parcel {n}")})).await;
    }
    let (.., metrics) = proxy.finish().await;
    let labels = |rest: &str| format!("{rest}model=\"router\",role=\"primary\",version=\"1\"}}");
    let busy = series(&metrics, &labels("driftline_proxy_session_busy_seconds_total{"));
    let cost = series(&metrics, &labels("driftline_proxy_cost_total{device=\"cpu\","));
    assert!(busy > 0.0 && (cost - busy).abs() < 1e-9, "one unit a second of one thread: {cost} for {busy} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tritons_names_say_what_the_statistics_say() {
    let proxy = Proxy::start(|raw| {
        raw.models.tuning.max_time = Duration::ZERO;
        raw.cache.enabled = true;
        raw.triton_metrics = true;
    })
    .await;
    for text in ["a", "b", "a"] {
        ask(&proxy, "/v1/models/router/predict", json!({ "text": text })).await;
    }
    for _ in 0..2 {
        // a second reading counts nothing twice
        let (_, _, text) = proxy.call("GET", "/metrics", "").await;
        let text = text.as_str().unwrap();
        let (_, _, stats) = proxy.call("GET", "/v2/models/router/versions/1/stats", "").await;
        let stats = &stats["model_stats"][0];
        let us = |of: &str| (stats["inference_stats"][of]["ns"].as_u64().unwrap() / 1_000) as f64;
        for (name, expected) in [
            ("nv_inference_request_success", 3.0),
            ("nv_inference_request_failure", 0.0),
            ("nv_inference_count", 2.0),
            ("nv_inference_exec_count", stats["execution_count"].as_f64().unwrap()),
            ("nv_inference_request_duration_us", us("success")),
            ("nv_inference_queue_duration_us", us("queue")),
            ("nv_inference_compute_input_duration_us", us("compute_input")),
            ("nv_inference_compute_infer_duration_us", us("compute_infer")),
            ("nv_inference_compute_output_duration_us", us("compute_output")),
            ("nv_cache_num_hits_per_model", 1.0),
            ("nv_cache_num_misses_per_model", 2.0),
            ("nv_cache_hit_duration_per_model", us("cache_hit")),
            ("nv_cache_miss_duration_per_model", us("cache_miss")),
        ] {
            let found = series(text, &format!("{name}{{model=\"router\",version=\"1\"}}"));
            assert!((found - expected).abs() < 1e-9, "{name} is {found}, not {expected}");
            assert!(text.contains(&format!("# TYPE {name} counter")), "{name}");
        }
    }
    let plain = Proxy::start(|raw| raw.models.tuning.max_time = Duration::ZERO).await;
    let (_, _, text) = plain.call("GET", "/metrics", "").await;
    assert!(!text.as_str().unwrap().contains("nv_inference"), "off unless asked for");
}

/// Whoever asks for a card that is not there, and says that the processor will do, is told where the version runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_steps_in_for_a_card_says_so() {
    let proxy = Proxy::start(|raw| {
        raw.models.tuning.max_time = Duration::ZERO;
        raw.models.prices.cpu_core = Some(1.0);
        raw.models.cuda = Some(RawCuda { on_failure: OnFailure::Cpu, device: 63, ..RawCuda::default() });
    })
    .await;
    let (_, _, metadata) = proxy.call("GET", "/v2/models/router", "").await;
    let parameters = &metadata["parameters"];
    assert_eq!(
        (&parameters["provider"], &parameters["provider_options"]),
        (&json!("CPUExecutionProvider"), &json!("cpu"))
    );
    ask(&proxy, "/v1/models/router/predict", json!({"text": "where is my parcel"})).await;
    // a run is counted when it has ended, which is after its answer
    let metrics = scraped(&proxy, "driftline_proxy_cost_total{device=\"cpu\"").await;
    assert!(
        metrics.contains("provider=\"CPUExecutionProvider\"") && !metrics.contains("CUDAExecutionProvider"),
        "{metrics}"
    );
}

/// As Triton with `--strict-readiness`, which is its default: what is there is to serve, and where nothing is there nothing
/// keeps others waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_is_ready_and_a_model_that_is_refused_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(|raw| {
        raw.models.models_dir = folder.path().to_path_buf();
        raw.models.models.clear();
    })
    .await;
    let ready = async || {
        let (status, _, answer) = proxy.call("GET", "/v2/health/ready", "").await;
        (status.as_u16(), answer["ready"].as_bool().unwrap())
    };
    assert_eq!(ready().await, (200, true));
    let infer = async || proxy.call("POST", "/v2/models/flowers/infer", format!(r#"{{"inputs":[{FLOWER}]}}"#)).await;
    let (status, _, answer) = infer().await;
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().unwrap().ends_with("there is none at all"), "{answer}");

    crate::model::testing::copy(&fixtures().join("flowers"), &folder.path().join("flowers"));
    let (status, _, answer) = proxy.call("POST", "/v2/repository/models/flowers/load", "{}").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((infer().await.0.as_u16(), ready().await), (200, (200, true)));

    std::fs::create_dir_all(folder.path().join("broken/1")).unwrap();
    std::fs::write(folder.path().join("broken/1/model.onnx"), "no model").unwrap();
    let (status, _, answer) = proxy.call("POST", "/v2/repository/models/broken/load", "{}").await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!((infer().await.0.as_u16(), ready().await), (200, (400, false)));
    let (status, ..) = proxy.call("POST", "/v2/repository/models/broken/unload", "{}").await;
    assert_eq!((status.as_u16(), ready().await), (200, (200, true)), "it is not wanted any more");
}

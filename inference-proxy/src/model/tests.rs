//! Models end to end: real files, the real library, real sessions.

mod halves;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::testing::{House, fixtures, onnxruntime, soon, texts};
use super::{Answer, CheckResult, Input, LoadError, LookupError, Role, RunError, State, Statistics, Version, verify};
use crate::tensor::{Data, Tensor};

fn tensor(name: &str, shape: &[usize], data: Data) -> Input {
    Input::Tensors(vec![Tensor::new(name, shape.to_vec(), data).unwrap()])
}

fn steps(count: i64) -> Input {
    tensor("steps", &[1], Data::Int64(vec![count]))
}

/// Long enough that everything a test does meanwhile is over before it.
const BUSY: i64 = 200_000;

fn labels(answer: &Answer) -> Vec<String> {
    answer.classes.iter().map(|classes| classes.prediction().label).collect()
}

#[tokio::test]
async fn a_text_model_answers_with_classes_and_statistics() {
    let house = House::ready(&["router/1"], "").await;
    let router = house.catalog.primary("router").unwrap();
    let metadata = router.metadata();
    assert_eq!(&metadata.labels[..], ["billing", "shipping", "technical"]);
    assert_eq!((metadata.max_tokens, metadata.takes_text, metadata.provider), (Some(32), true, "CPUExecutionProvider"));
    assert_eq!(metadata.files.len(), 3);
    let answer = router.run(texts(&["where is my parcel", "my zebra card was charged"]), soon()).await.unwrap();
    assert_eq!(labels(&answer), ["shipping", "billing"]);
    assert_eq!(answer.outputs[0].shape(), [2, 3]);
    assert_eq!(answer.texts[0].tokens, 6);
    assert!((answer.texts[1].unknown_rate - 0.2).abs() < 1e-12);
    assert!(answer.timings.infer_us > 0 && answer.timings.batch_size >= 1, "{:?}", answer.timings);
    for classes in &answer.classes {
        assert!((classes.scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    let bytes = Data::Bytes(vec!["login error".to_owned()]);
    let answer = router.run(tensor("text", &[1, 1], bytes), soon()).await.unwrap();
    assert_eq!(labels(&answer), ["technical"]);
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let house = House::ready(&["router/1", "flowers/1"], "max_chars = 40\nqueue.max_items = 3").await;
    let check = async |model: &str, input: Input, expected: &str| {
        let version = house.catalog.primary(model).unwrap();
        match version.run(input, soon()).await {
            Err(RunError::Invalid(why)) => assert_eq!(why, expected),
            other => panic!("{other:?} instead of '{expected}'"),
        }
    };
    let floats = |count: usize| Data::Fp32(vec![0.5; count]);
    check("router", texts(&[]), "there is no text").await;
    check("router", texts(&["a", " "]), "text 1 is empty").await;
    let long = "a".repeat(41);
    check("router", texts(&[&long]), "text 0 is longer than 40 characters; split or shorten it").await;
    check("router", tensor("text", &[1], floats(1)), "input 'text' must be BYTES, not FP32").await;
    check(
        "router",
        tensor("ids", &[1], floats(1)),
        "there is no input 'ids'; the model takes 'text' (BYTES), and 'text_pair' beside it for pairs",
    )
    .await;
    check(
        "router",
        texts(&["a", "b", "c", "d"]),
        "the request has 4 items, and the queue takes at most 3: send it in parts",
    )
    .await;
    check("flowers", texts(&["a"]), "model 'flowers' takes tensors, not text").await;
    let shape = "input 'input' must have shape [-1, 4] (-1 is any size), not [1, 3]";
    check("flowers", tensor("input", &[1, 3], floats(3)), shape).await;
    let nan = Data::Fp32(vec![0.0, f32::NAN, 0.0, 0.0]);
    check("flowers", tensor("input", &[1, 4], nan), "input 'input' holds NaN at index 1").await;
}

#[tokio::test]
async fn a_tensor_model_answers_every_output_and_its_classes() {
    let house = House::ready(&["flowers/1"], "").await;
    let flowers = house.catalog.primary("flowers").unwrap();
    let columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"];
    assert_eq!(flowers.metadata().inputs[0].columns, columns);
    let rows = Data::Fp32(vec![5.1, 3.5, 1.4, 0.2, 6.3, 3.3, 6.0, 2.5]);
    let answer = flowers.run(tensor("input", &[2, 4], rows), soon()).await.unwrap();
    assert_eq!(labels(&answer), ["setosa", "virginica"]);
    assert_eq!(answer.outputs[0].data(), &Data::Int64(vec![0, 2]));
    assert_eq!(answer.outputs[1].shape(), [2, 3]);
    assert!(answer.texts.is_empty());
}

#[tokio::test]
async fn company_does_not_change_an_answer() {
    let settings = "batching = { max_delay = \"30ms\", max_padding = 0.9 }\nmodels.router.instances = 1";
    let house = House::ready(&["router/1"], settings).await;
    let router = house.catalog.primary("router").unwrap();
    let asked: Vec<String> = [
        "parcel",
        "where is my late parcel",
        "card refund",
        "the screen was not",
        "my login error update crash screen the",
    ]
    .iter()
    .cycle()
    .take(40)
    .map(|&text| text.to_owned())
    .collect();
    let mut alone = Vec::new();
    for text in &asked {
        let answer = router.run(Input::Texts(vec![text.clone()]), soon()).await.unwrap();
        alone.push(answer.classes[0].scores.clone());
    }
    let together = asked.iter().map(|text| {
        let (router, text) = (Arc::clone(&router), text.clone());
        tokio::spawn(async move { router.run(Input::Texts(vec![text]), soon()).await.unwrap() })
    });
    let together: Vec<_> = together.collect();
    let mut largest = 0;
    for (task, alone) in together.into_iter().zip(alone) {
        let answer = task.await.unwrap();
        largest = largest.max(answer.timings.batch_size);
        for (a, b) in answer.classes[0].scores.iter().zip(&alone) {
            assert!((a - b).abs() < 1e-5, "{a} in company, {b} alone");
        }
    }
    assert!(largest > 4, "nothing ran together: the largest batch had {largest}");
    let one = router.run(Input::Texts(asked), soon()).await.unwrap();
    assert_eq!(one.classes.len(), 40);
}

#[tokio::test]
async fn a_request_that_breaks_its_session_fails_alone() {
    let settings = "batching.max_delay = \"30ms\"\nmodels.lookup.instances = 1";
    let house = House::ready(&["lookup/1"], settings).await;
    let lookup = house.catalog.primary("lookup").unwrap();
    let run = |row: i64| {
        let lookup = Arc::clone(&lookup);
        tokio::spawn(async move { lookup.run(tensor("row", &[1], Data::Int64(vec![row])), soon()).await })
    };
    let (good, bad, fine) = (run(1), run(99), run(3));
    assert_eq!(good.await.unwrap().unwrap().outputs[0].data(), &Data::Fp32(vec![2.0, 3.0]));
    assert_eq!(fine.await.unwrap().unwrap().outputs[0].data(), &Data::Fp32(vec![6.0, 7.0]));
    match bad.await.unwrap() {
        Err(RunError::Invalid(why)) => assert!(why.contains("out of data bounds"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(run(0).await.unwrap().is_ok(), "the session goes on");
}

#[tokio::test]
async fn an_answer_that_is_none_spoils_only_its_own_item() {
    let settings = "batching.max_delay = \"30ms\"\nmodels.router.instances = 1";
    let house = House::ready(&["router/1"], settings).await;
    let router = house.catalog.primary("router").unwrap();
    let (bad, good) =
        tokio::join!(router.run(texts(&["overflow overflow"]), soon()), router.run(texts(&["my card"]), soon()));
    assert_eq!(labels(&good.unwrap()), ["billing"]);
    match bad {
        Err(RunError::BadOutput(why)) => assert!(why.contains("output 'logits' holds"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_first_axis_that_is_not_the_item_is_not_batched() {
    let house = House::ready(&["distinct/1"], "").await;
    let distinct = house.catalog.primary("distinct").unwrap();
    assert!(!distinct.metadata().batches);
    let asked = tensor("values", &[4], Data::Fp32(vec![2.0, 1.0, 2.0, 1.0]));
    let answer = distinct.run(asked, soon()).await.unwrap();
    assert_eq!(answer.outputs[0].data(), &Data::Fp32(vec![1.0, 2.0]));
    // Four times as many values as items may wait: they are one item.
    let asked = tensor("values", &[4_096], Data::Fp32(vec![3.0; 4_096]));
    let answer = distinct.run(asked, soon()).await.unwrap();
    assert_eq!((answer.outputs[0].data(), answer.timings.batch_size), (&Data::Fp32(vec![3.0]), 1));
}

#[tokio::test]
async fn what_is_refused_for_its_size_is_not_tokenized_first() {
    let house = House::ready(&["router/1"], "queue.max_items = 3").await;
    let router = house.catalog.primary("router").unwrap();
    assert!(matches!(router.run(texts(&["a"; 4]), soon()).await, Err(RunError::Invalid(_))));
    assert!(!house.registry.render().contains("stage=\"tokenize\""));
}

#[tokio::test]
async fn nobody_tokenizes_past_the_deadline() {
    let house = House::ready(&["router/1"], "").await;
    let router = house.catalog.primary("router").unwrap();
    let long = "my parcel is late ".repeat(500);
    let started = Instant::now();
    let late = router.run(texts(&[long.as_str(); 1_000]), started + Duration::from_millis(20)).await;
    assert_eq!(late.unwrap_err(), RunError::Deadline);
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}

/// Holds the only session of `slow` busy; resolves when the session has begun.
async fn occupy(slow: &Arc<Version>) -> tokio::task::JoinHandle<Result<Answer, RunError>> {
    let busy = Arc::clone(slow);
    let task = tokio::spawn(async move { busy.run(steps(BUSY), soon()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!task.is_finished(), "the busy run is too short for this machine");
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_comes_while_the_session_is_busy() {
    let house = House::ready(&["slow/1"], "models.slow.instances = 1").await;
    let slow = house.catalog.primary("slow").unwrap();
    let busy = occupy(&slow).await;
    let started = Instant::now();
    let late = slow.run(steps(1), started + Duration::from_millis(50)).await;
    assert_eq!(late.unwrap_err(), RunError::Deadline);
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    assert!(house.has_metric("driftline_proxy_queue_items{model=\"slow\",role=\"primary\",version=\"1\"} 0"));
    assert!(busy.await.unwrap().is_ok());
    let past = slow.run(steps(1), Instant::now()).await;
    assert_eq!(past.unwrap_err(), RunError::Deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_queues_bound_is_an_answer_of_its_own() {
    let house = House::ready(&["slow/1"], "models.slow.instances = 1\nqueue.max_items = 2").await;
    let slow = house.catalog.primary("slow").unwrap();
    let busy = occupy(&slow).await;
    let wait = |slow: &Arc<Version>| {
        let slow = Arc::clone(slow);
        tokio::spawn(async move { slow.run(steps(1), soon()).await })
    };
    let (first, second) = (wait(&slow), wait(&slow));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(house.has_metric("driftline_proxy_queue_items{model=\"slow\",role=\"primary\",version=\"1\"} 2"));
    match slow.run(steps(1), soon()).await {
        Err(RunError::QueueFull { retry_after }) => assert!(retry_after >= Duration::from_millis(100)),
        other => panic!("{other:?}"),
    }
    // A client that leaves makes room at once, though the session is still busy.
    first.abort();
    let _aborted = first.await;
    let third = wait(&slow);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!third.is_finished(), "it waits in the queue");
    for task in [busy, second, third] {
        assert!(task.await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_was_accepted() {
    let house = House::ready(&["slow/1"], "models.slow.instances = 1").await;
    let slow = house.catalog.primary("slow").unwrap();
    let busy = occupy(&slow).await;
    let waiting = {
        let slow = Arc::clone(&slow);
        tokio::spawn(async move { slow.run(steps(2), soon()).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.catalog.shutdown().await;
    assert!(busy.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
    assert!(matches!(slow.run(steps(1), soon()).await, Err(RunError::Unavailable(_))));
    assert!(matches!(house.catalog.load("slow", None).await, Err(LoadError::ShuttingDown)));
    assert_eq!(house.catalog.states()[0].state, State::Unloaded);
}

/// Spoils a copy of `router/1` and says why it must be refused.
async fn refused(spoil: impl Fn(&House), reason: &str, expected: &str) {
    let house = House::open(&["router/1"], "");
    spoil(&house);
    assert!(!house.catalog.load_all().await);
    let State::Failed { why } = house.catalog.states()[0].state.clone() else { panic!("{:?}", house.catalog.states()) };
    assert!(why.contains(expected), "'{why}' does not say '{expected}'");
    let metric = format!("driftline_proxy_load_failures_total{{model=\"router\",reason=\"{reason}\",version=\"1\"}} 1");
    assert!(house.has_metric(&metric), "no {metric}");
    match house.catalog.primary("router") {
        Err(LookupError::NotReady { why, .. }) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}"),
    }
    let report = verify(&house.path("router/1"), &onnxruntime()).unwrap();
    assert_eq!(report.failure().map(|(name, _)| name), Some(reason));
}

fn without_manifest(house: &House) {
    std::fs::remove_file(house.path("router/1/driftline.manifest.json")).unwrap();
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    refused(|house| house.edit("router/1/config.json", "billing", "bills"), "hashes", "config.json has SHA-256").await;
    refused(
        |house| {
            without_manifest(house);
            house.edit("router/1/config.json", "26", "30");
        },
        "vocabulary",
        "config.json says vocab_size 30, and the embedding 'embeddings' of model.onnx has 26 rows",
    )
    .await;
    refused(
        |house| {
            without_manifest(house);
            house.edit("router/1/tokenizer.json", "\"overflow\": 25", "\"overflow\": 26");
        },
        "vocabulary",
        "tokenizer.json gives ids up to 26, and the embedding 'embeddings' of model.onnx has 26 rows",
    )
    .await;
    refused(
        |house| {
            without_manifest(house);
            std::fs::write(house.path("router/1/driftline.toml"), "labels = ['a', 'b']").unwrap();
        },
        "labels",
        "there are 2 labels, and output 'logits' has 3 classes",
    )
    .await;
    refused(
        |house| {
            without_manifest(house);
            std::fs::write(house.path("router/1/model.onnx"), "no graph").unwrap();
        },
        "graph",
        "ONNX Runtime cannot load model.onnx",
    )
    .await;
    refused(|house| std::fs::remove_file(house.path("router/1/model.onnx")).unwrap(), "files", "neither model.onnx")
        .await;
}

/// A folder without hashes whose golden samples are those of the manifest.
fn with_golden_only(house: &House) {
    let manifest = std::fs::read_to_string(house.path("router/1/driftline.manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    without_manifest(house);
    std::fs::write(house.path("router/1/golden.json"), manifest["golden"].to_string()).unwrap();
    std::fs::write(house.path("router/1/driftline.toml"), "golden = 'golden.json'").unwrap();
}

#[tokio::test]
async fn golden_samples_catch_what_sizes_do_not() {
    refused(
        |house| {
            with_golden_only(house);
            // The same words in another order: every size fits, and every answer is wrong.
            house.edit("router/1/tokenizer.json", "\"parcel\": 9", "\"parcel\": 10");
            house.edit("router/1/tokenizer.json", "\"delivery\": 10", "\"delivery\": 9");
        },
        "golden",
        "golden sample '0' expects token 9 at position 4, and tokenizer.json gives 10",
    )
    .await;
    refused(
        |house| {
            with_golden_only(house);
            std::fs::copy(fixtures().join("router/2/model.onnx"), house.path("router/1/model.onnx")).unwrap();
        },
        "golden",
        "golden sample '0' expects 0.26980117531034264 for 'billing', and the model gives 0.290718 (tolerance 0.0001)",
    )
    .await;
}

#[tokio::test]
async fn a_sound_folder_passes_every_check() {
    let report = verify(&fixtures().join("router/1"), &onnxruntime()).unwrap();
    let names: Vec<_> = report.checks.iter().map(|check| check.name).collect();
    assert_eq!(names, ["files", "hashes", "graph", "vocabulary", "labels", "golden", "warm-up"]);
    for check in &report.checks {
        assert!(matches!(check.result, CheckResult::Passed(_)), "{check:?}");
    }
    let bare = verify(&fixtures().join("lookup/1"), &onnxruntime()).unwrap();
    assert!(bare.passed());
    let skipped = bare.checks.iter().filter(|check| matches!(check.result, CheckResult::Skipped(_)));
    assert_eq!(skipped.map(|check| check.name).collect::<Vec<_>>(), ["hashes", "vocabulary", "labels", "golden"]);
    assert!(bare.to_string().starts_with("files       passed   1 files, 165 bytes\nhashes      skipped  there is no"));
    let json = serde_json::to_value(&bare.checks[1]).unwrap();
    let detail = "there is no driftline.manifest.json";
    assert_eq!(json, serde_json::json!({ "name": "hashes", "result": "skipped", "detail": detail }));
}

#[tokio::test]
async fn a_refused_reload_leaves_the_old_copy_serving() {
    let house = House::ready(&["router/1"], "").await;
    house.edit("router/1/config.json", "billing", "bills");
    let error = house.catalog.load("router", Some("1")).await.unwrap_err();
    assert!(error.to_string().contains("config.json has SHA-256"), "{error}");
    let answer = house.catalog.primary("router").unwrap().run(texts(&["my card"]), soon()).await.unwrap();
    assert_eq!(labels(&answer), ["billing"]);
    assert_eq!(house.catalog.states()[0].state, State::Ready);
}

#[tokio::test]
async fn without_a_word_from_the_operator_the_highest_sound_version_answers() {
    let house = House::open(&["router/1", "router/2"], "");
    super::testing::copy(&house.path("router/2"), &house.path("router/10"));
    house.edit("router/10/config.json", "billing", "bills");
    for _ in 0..2 {
        // The wanted version is refused, and whoever asked for it is told so though another serves in its place.
        match house.catalog.load("router", None).await {
            Err(LoadError::Refused { version, why, .. }) => {
                assert_eq!(version, "10");
                assert!(why.ends_with("; version '2' serves"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(house.catalog.versions("router").unwrap(), ["1", "2", "10"]);
        assert_eq!(house.catalog.primary("router").unwrap().version(), "2");
        let states: Vec<_> = house.catalog.states().into_iter().map(|entry| (entry.role, entry.state)).collect();
        assert_eq!(states[..2], [(Role::Spare, State::Unloaded), (Role::Primary, State::Ready)]);
        assert!(matches!(states[2], (Role::Spare, State::Failed { .. })), "one version is primary: {states:?}");
    }
    let label = "driftline_proxy_version_state{model=\"router\",role=\"primary\",state=\"failed\",version=\"10\"}";
    assert!(!house.registry.render().contains(label), "{}", house.registry.render());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_and_a_rollback_fail_no_request() {
    let house = House::ready(&["router/1", "router/2"], "models.router.primary = \"1\"").await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (catalog, stop, answered) = (house.catalog.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let version = catalog.primary("router").unwrap();
                    version.run(texts(&["where is my parcel"]), soon()).await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for version in ["2", "1", "2", "1", "1"] {
        house.catalog.load("router", Some(version)).await.unwrap();
        assert_eq!(house.catalog.primary("router").unwrap().version(), version);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 50);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let standby = house.catalog.states().into_iter().find(|entry| entry.version == "2").unwrap();
    assert_eq!((standby.role, standby.state), (Role::Spare, State::Standby));
    let line = "driftline_proxy_version_state{model=\"router\",role=\"primary\",state=\"ready\",version=\"1\"} 1";
    assert!(house.has_metric(line), "{}", house.registry.render());
}

#[tokio::test]
async fn a_replaced_version_leaves_after_its_time() {
    let settings = "standby_for = \"50ms\"\nmodels.router.primary = \"1\"";
    let house = House::ready(&["router/1", "router/2"], settings).await;
    house.catalog.load("router", Some("2")).await.unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while house.catalog.states()[0].state != State::Unloaded {
        assert!(Instant::now() < until, "{:?}", house.catalog.states());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(house.catalog.version("router", "1"), Err(LookupError::NotReady { .. })));
}

#[tokio::test]
async fn versions_come_and_go() {
    let settings = "[models.router]\nprimary = \"1\"\nshadows = [{ version = \"2\", percent = 25.0 }]";
    let house = House::ready(&["router/1", "router/2"], settings).await;
    let shadows = house.catalog.shadows("router");
    assert_eq!((shadows.len(), shadows[0].0.version(), shadows[0].1), (1, "2", 25.0));
    assert_eq!(shadows[0].0.role(), Role::Shadow);
    drop(shadows);
    house.catalog.unload("router", Some("1")).await.unwrap();
    assert!(house.catalog.ready(), "what nobody wants served keeps nothing from serving");
    match house.catalog.primary("router") {
        Err(LookupError::NotReady { version, why, .. }) => {
            assert_eq!((version.as_deref(), why.as_str()), (Some("1"), "version '1' is unloaded"));
        }
        other => panic!("{other:?}"),
    }
    // What cannot be read is refused, and served again when it can.
    std::fs::rename(house.path("router/1"), house.path("away")).unwrap();
    assert!(matches!(house.catalog.load("router", None).await, Err(LoadError::Refused { .. })));
    assert!(!house.catalog.ready());
    std::fs::rename(house.path("away"), house.path("router/1")).unwrap();
    house.catalog.load("router", None).await.unwrap();
    assert!(house.catalog.ready());
    house.catalog.unload("router", None).await.unwrap();
    assert!(house.catalog.shadows("router").is_empty());
    let unknown = |error: LoadError| matches!(error, LoadError::Unknown(_));
    assert!(unknown(house.catalog.load("nobody", None).await.unwrap_err()));
    assert!(unknown(house.catalog.load("../router", None).await.unwrap_err()));
    assert!(unknown(house.catalog.load("router", Some("../1")).await.unwrap_err()));
    assert!(house.catalog.unload("router", Some("9")).await.is_err());
}

#[tokio::test]
async fn a_model_that_is_new_on_disk_can_be_loaded() {
    let house = House::ready(&["router/1"], "").await;
    super::testing::copy(&fixtures().join("flowers/1"), &house.path("flowers/1"));
    house.catalog.load("flowers", None).await.unwrap();
    assert_eq!(house.catalog.models(), ["flowers", "router"]);
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let house = House::ready(&["router/1"], "").await;
    let router = house.catalog.primary("router").unwrap();
    let long = "parcel ".repeat(60);
    let answer = router.run(texts(&[&long]), soon()).await.unwrap();
    assert_eq!((answer.texts[0].tokens, answer.texts[0].truncated), (32, true));
    for line in [
        "driftline_proxy_truncated_texts_total{model=\"router\",version=\"1\"} 1",
        "driftline_proxy_conversion_checks_total{model=\"router\",outcome=\"passed\",version=\"1\"} 7",
        "driftline_proxy_batch_items_count{model=\"router\",role=\"primary\",version=\"1\"} 1",
        "driftline_proxy_stage_seconds_count{model=\"router\",role=\"primary\",stage=\"infer\",version=\"1\"} 1",
        "driftline_proxy_stage_seconds_count{model=\"router\",role=\"primary\",stage=\"tokenize\",version=\"1\"} 1",
        "driftline_proxy_version_info{model=\"router\",provider=\"CPUExecutionProvider\",role=\"primary\",version=\"1\"} 1",
    ] {
        assert!(house.has_metric(line), "no {line} in\n{}", house.registry.render());
    }
}

#[tokio::test]
async fn statistics_count_requests_and_runs() {
    let house = House::ready(&["lookup/1"], "").await;
    let version = house.catalog.primary("lookup").unwrap();
    assert_eq!(version.statistics(), Statistics::default(), "warm-up is nobody's request");
    let rows = |rows: &[i64]| tensor("row", &[rows.len()], Data::Int64(rows.to_vec()));
    version.run(rows(&[0, 1, 2]), soon()).await.unwrap();
    version.run(rows(&[3]), soon()).await.unwrap();
    assert!(matches!(version.run(rows(&[99]), soon()).await, Err(RunError::Invalid(_))));
    assert!(matches!(version.run(rows(&[0]), Instant::now()).await, Err(RunError::Deadline)));
    assert!(matches!(version.run(steps(1), soon()).await, Err(RunError::Invalid(_))));
    let counts = version.statistics();
    assert_eq!((counts.inferences, counts.executions), (4, 2));
    assert_eq!((counts.success.count, counts.fail.count, counts.queue.count), (2, 1, 2));
    assert!(counts.compute.infer.ns > 0 && counts.success.ns > counts.compute.infer.ns, "{counts:?}");
    assert_eq!(counts.batches.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(counts.batches[&3].infer.count, 1);
}

#[tokio::test]
async fn every_datatype_goes_through_the_session_and_comes_back() {
    let house = House::ready(&["types/1"], "").await;
    let version = house.catalog.primary("types").unwrap();
    let metadata = version.metadata();
    assert_eq!(metadata.inputs.len(), 14);
    for items in [1, 3] {
        let given: Vec<Tensor> = metadata
            .inputs
            .iter()
            .map(|spec| Tensor::new(&spec.name, vec![items, 2], extremes(spec.datatype, 2 * items)).unwrap())
            .collect();
        let answer = version.run(Input::Tensors(given.clone()), soon()).await.unwrap();
        for (given, got) in given.iter().zip(&answer.outputs) {
            assert_eq!(got.name(), format!("{}_out", given.name()));
            assert_eq!((got.shape(), got.data()), (given.shape(), given.data()));
        }
    }
}

/// The datatype's least and largest value in turns.
fn extremes(datatype: &str, count: usize) -> Data {
    use half::{bf16, f16};
    fn turns<T: Clone>(pair: [T; 2], count: usize) -> Vec<T> {
        pair.into_iter().cycle().take(count).collect()
    }
    match datatype {
        "BOOL" => Data::Bool(turns([false, true], count)),
        "UINT8" => Data::Uint8(turns([0, u8::MAX], count)),
        "UINT16" => Data::Uint16(turns([0, u16::MAX], count)),
        "UINT32" => Data::Uint32(turns([0, u32::MAX], count)),
        "UINT64" => Data::Uint64(turns([0, u64::MAX], count)),
        "INT8" => Data::Int8(turns([i8::MIN, i8::MAX], count)),
        "INT16" => Data::Int16(turns([i16::MIN, i16::MAX], count)),
        "INT32" => Data::Int32(turns([i32::MIN, i32::MAX], count)),
        "INT64" => Data::Int64(turns([i64::MIN, i64::MAX], count)),
        "FP16" => Data::Fp16(turns([f16::MIN, f16::MIN_POSITIVE], count)),
        "BF16" => Data::Bf16(turns([bf16::MIN, bf16::MIN_POSITIVE], count)),
        "FP32" => Data::Fp32(turns([f32::MIN, f32::MIN_POSITIVE], count)),
        "FP64" => Data::Fp64(turns([f64::MIN, f64::MIN_POSITIVE], count)),
        "BYTES" => Data::Bytes(turns([String::new(), "naïve \u{1F980}".to_owned()], count)),
        other => panic!("{other} is no datatype"),
    }
}

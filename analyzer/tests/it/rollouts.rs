//! What rollout controllers ask, against the real engine: the manifests of `docs/rollouts.md` as their tools would read them.

use contract::api::{
    ShadowVerdict,
    shadow::{GateAnswer, GuardrailState, ShadowGate, VerdictAnswer},
};
use serde_json::{Value, json};

use crate::{
    api::Running,
    cycle::{T0, raw},
};

/// The body that Flagger posts (`CanaryWebhookPayload`): names of its own, and `checksum` since 1.22.
fn hook() -> Value {
    json!({"name": "support-router", "namespace": "prod", "phase": "Progressing", "checksum": "5f4d", "metadata": {"a": "b"}})
}

/// An analyzer that asks 30 s of comparisons, beside the rejected `2` with two shadows that differ in one of 1000 pairs: `good` has
/// 4000, `young` 100. Pairs are spread over 60 s. The newest requests were led to a canary, and to a version that does not exist.
async fn start() -> Running {
    start_with(&[answers("2", "ok", 1), answers("unknown", "invalid", 1)]).await
}

/// So many requests to a version after all of the primary's.
fn answers(version: &str, outcome: &str, count: u32) -> String {
    let at = format!("fromUnixTimestamp64Milli({T0} + 60500, 'UTC')");
    format!(
        "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, total_us, items) \
         SELECT generateUUIDv4(), generateUUIDv4(), {at}, {at}, 's', 'm', '{version}', '{outcome}', 200, 1000, 1 FROM numbers({count})"
    )
}

async fn start_with(answers: &[String]) -> Running {
    let mut config = raw();
    config.shadow.min_time = std::time::Duration::from_secs(30);
    let pairs = [("good", 4_000), ("young", 100)].map(|(shadow, pairs)| {
        format!(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT generateUUIDv4(), 0, generateUUIDv4(), now64(3), \
               fromUnixTimestamp64Milli(toInt64({T0} + intDiv(number * 60000, {pairs})), 'UTC'), 'm', '1', '{shadow}', true, 'ok', '', \
               said, if(number % 1000 = 1, 'x', said), 0.5, 0.5, 100, 50 \
             FROM (SELECT number, if(number % 2 = 0, 'a', 'b') AS said FROM numbers({pairs}))"
        )
    });
    Running::start_with(config, &[&pairs, answers].concat()).await
}

async fn verdict(running: &Running, shadow: &str) -> VerdictAnswer {
    running.read(&format!("/api/v1/models/m/shadows/{shadow}/verdict")).await
}

async fn ask(running: &Running, path: &str) -> (u16, Value) {
    let answer = running.http.post(format!("{}{path}", running.base)).json(&hook()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The manifests of a kind in the page.
fn manifest(kind: &str) -> Value {
    let page = include_str!("../../../docs/rollouts.md");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut found =
        blocks.map(|block| serde_saphyr::from_str::<Value>(block).unwrap()).filter(|one| one["kind"] == kind);
    found.next().unwrap()
}

/// A JSONPath of names only, in the braces that `kubectl` and Argo write around it.
fn at<'a>(path: &str, value: &'a Value) -> &'a Value {
    let names = path.strip_prefix("{$.").and_then(|rest| rest.strip_suffix('}')).unwrap();
    names.split('.').fold(value, |value, name| value.get(name).unwrap())
}

/// A condition of the form `result == "word"`.
fn holds(condition: &Value, result: &Value) -> bool {
    let word = condition.as_str().unwrap().strip_prefix("result == ").unwrap();
    serde_json::from_str::<Value>(word).unwrap() == *result
}

/// The path of an address with a manifest's arguments put in.
fn path(url: &Value, model: &str, version: &str) -> String {
    let url = url.as_str().unwrap().replace("{{args.model}}", model).replace("{{args.version}}", version);
    let url = url.replace("/models/support-router/", &format!("/models/{model}/"));
    let url = url.replace("/shadows/2/", &format!("/shadows/{version}/"));
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

#[tokio::test]
async fn argo_reads_promote_hold_and_reject_from_the_manifest_of_the_page() {
    let running = start().await;
    let template = manifest("AnalysisTemplate");
    let metric = &template["spec"]["metrics"][0];
    let web = &metric["provider"]["web"];
    for (version, success, failure) in
        [("good", true, false), ("young", false, false), ("2", false, true), ("unseen", false, false)]
    {
        let body: Value = running.read(&path(&web["url"], "m", version)).await;
        let result = at(web["jsonPath"].as_str().unwrap(), &body);
        assert_eq!(holds(&metric["successCondition"], result), success, "{version}: {body}");
        assert_eq!(holds(&metric["failureCondition"], result), failure, "{version}: {body}");
    }
    running.stop().await;
}

#[tokio::test]
async fn flagger_goes_on_halts_and_rolls_back_by_the_statuses_of_the_page() {
    let running = start().await;
    let canary = manifest("Canary");
    let hooks = canary["spec"]["analysis"]["webhooks"].as_array().unwrap();
    for (kind, good, unseen, rejected) in
        [("rollout", 200, 200, 409), ("confirm-promotion", 200, 409, 409), ("rollback", 409, 409, 200)]
    {
        let hook = hooks.iter().find(|hook| hook["type"] == kind).unwrap();
        for (version, status) in [("good", good), ("unseen", unseen), ("2", rejected)] {
            let (found, body) = ask(&running, &path(&hook["url"], "m", version)).await;
            assert_eq!(found, status, "{kind} of {version}: {body}");
            let body: GateAnswer = serde_json::from_value(body).unwrap();
            assert_eq!(body.open, status == 200);
            assert_eq!(body.sentence, verdict(&running, version).await.sentence);
        }
    }
    // whatever is not known opens no gate, not even the one that rolls back
    for gate in ShadowGate::ALL.map(ShadowGate::as_str) {
        for (model, version) in [("absent", "2"), ("m", "1")] {
            let (status, body) = ask(&running, &format!("/api/v1/models/{model}/shadows/{version}/gates/{gate}")).await;
            assert_eq!(status, 404, "{body}");
            assert!(body["error"].is_string());
        }
    }
    assert_eq!(ask(&running, "/api/v1/models/m/shadows/2/gates/advnce").await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_canary_of_more_than_half_is_still_asked_about() {
    let running = start_with(&[answers("good", "ok", 5_000)]).await;
    let (status, body) = ask(&running, "/api/v1/models/m/shadows/good/gates/promote").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(verdict(&running, "good").await.primary, "1");
    assert_eq!(ask(&running, "/api/v1/models/m/shadows/2/gates/advance").await.0, 409);
    running.stop().await;
}

#[tokio::test]
async fn a_verdict_says_what_it_rests_on_and_what_it_lacks() {
    let running = start().await;
    let young = verdict(&running, "young").await;
    assert_eq!((young.verdict, young.primary.as_str()), (ShadowVerdict::Hold, "1"));
    assert_eq!(young.agreement.observed, Some(0.99));
    assert!(young.agreement.lower < Some(young.agreement.required), "{young:?}");
    assert!(young.pairs.needed >= Some(young.pairs.minimum - 100), "{young:?}");
    assert_eq!((young.failures.offered, young.failures.ratio, young.run_time_ratio), (100, Some(0.0), Some(0.5)));
    // the one that differs is a `b`
    let classes: Vec<(&str, u64)> = young.classes.iter().map(|one| (one.label.as_str(), one.pairs)).collect();
    assert_eq!(classes, [("a", 50), ("b", 50)]);
    assert!(young.classes[0].lower > young.classes[1].lower);
    // the primary's answers of the last hour are stored, and say no; the shadow has none of its own
    assert_eq!((young.primary_batch_variant, young.batch_variant), (Some(false), None));
    let varying = "INSERT INTO observations SELECT * REPLACE(generateUUIDv4() AS id, 'young' AS version, true AS batch_variant) \
                   FROM (SELECT * FROM observations WHERE version = '1' LIMIT 1)";
    running.house.ask(varying).await;
    assert_eq!(verdict(&running, "young").await.batch_variant, Some(true));
    let rejected = verdict(&running, "2").await;
    assert_eq!((rejected.verdict, rejected.pairs.needed), (ShadowVerdict::Reject, None));
    let unseen = verdict(&running, "unseen").await;
    assert_eq!((unseen.verdict, unseen.judged_ms, unseen.pairs.seen), (ShadowVerdict::Hold, None, 0));
    let (_, text) = running.get("/metrics").await;
    let needed =
        format!("driftline_shadow_pairs_needed{{model=\"m\",version=\"young\"}} {}", young.pairs.needed.unwrap());
    assert!(text.contains(&needed), "{needed} is not in\n{text}");
    assert!(!text.contains("driftline_shadow_pairs_needed{model=\"m\",version=\"2\"}"), "{text}");
    running.stop().await;
}

/// 4000 pairs of a shadow, spread over 60 s, with what it says, how sure it is and how long it runs as SQL over `number`.
fn pairs(shadow: &str, said: &str, confidence: &str, infer_us: &str) -> String {
    format!(
        "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT \
           toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(number), 12, '0'))), 0, generateUUIDv4(), now64(3), \
           fromUnixTimestamp64Milli(toInt64({T0} + intDiv(number * 60000, 4000)), 'UTC'), 'm', '1', '{shadow}', true, 'ok', '', \
           answer, {said}, 0.8, {confidence}, 100, {infer_us} \
         FROM (SELECT number, if(number % 4 = 1, 'b', 'a') AS answer FROM numbers(4000))"
    )
}

#[tokio::test]
async fn a_shadow_that_agrees_is_rejected_for_being_slow_unsure_or_wrong_by_labels() {
    let labels = "INSERT INTO labels (id, item, segment, received_at, at, label) SELECT \
                    toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(number), 12, '0'))), 0, generateUUIDv4(), now64(3), now64(3), \
                    if(number % 4 = 1, 'b', 'a') FROM numbers(2000)";
    let rows = [
        pairs("good2", "answer", "0.79", "110"),
        pairs("slow", "answer", "0.8", "2000"),
        pairs("unsure", "answer", "0.55", "100"),
        pairs("wrong", "if(number % 25 = 0, if(answer = 'a', 'b', 'a'), answer)", "0.8", "100"),
        labels.to_owned(),
    ];
    let running = start_with(&rows).await;
    let good = verdict(&running, "good2").await;
    assert_eq!(good.verdict, ShadowVerdict::Promote, "{good:?}");
    let names: Vec<&str> = good.guardrails.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["agreement", "failures", "slowdown", "confidence", "accuracy", "brier", "classes"]);
    for (shadow, broken, says) in [
        ("slow", "slowdown", "Run time over the primary's is at least 7."),
        ("unsure", "confidence", "The fall of confidence is at least 0.2"),
        ("wrong", "accuracy", "The fall of accuracy by labels is at least"),
    ] {
        let found = verdict(&running, shadow).await;
        assert!(found.reject && found.sentence.contains(says), "{found:?}");
        let states = found.guardrails.iter().filter(|one| one.state == GuardrailState::Broken);
        assert!(states.clone().any(|one| one.name.as_str() == broken), "{found:?}");
        let (_, text) = running.get("/metrics").await;
        let line = format!(
            "driftline_shadow_guardrail{{kind=\"{broken}\",model=\"m\",state=\"broken\",version=\"{shadow}\"}} 1"
        );
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    // what a reader of one look would be told stands beside it
    let wrong = verdict(&running, "wrong").await;
    let tests: Vec<&str> = wrong.tests.iter().map(|one| one.test.as_str()).collect();
    assert_eq!(tests, ["mcnemar", "tango", "stuart_maxwell", "bowker"]);
    assert!(wrong.tests[0].p_value < 1e-9 && wrong.tests[1].p_value > 0.5, "{:?}", wrong.tests);
    running.stop().await;
}

//! A rollout beside a real Alertmanager: its model's drift and shadow alerts are not heard while versions change, all others
//! are, no page is ever silenced, and in the end everything is heard again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Driftline, TEXT_MODEL, configuration, fixture_models, write_configuration};
use crate::monitoring::{self, Tool};

const SLOS: &str = "
service: silences
owner: platform
page_on_drift: [router]
slos:
  - { name: available, description: Messages are routed., model: router, objective: 99, sli: { kind: availability } }
";
/// Names of the alerts that a rollout of [`TEXT_MODEL`] keeps quiet, where they are no page.
const QUIET: [&str; 3] = ["DriftlineConfidenceCollapse", "DriftlineFeatureDrift", "DriftlineShadowVerdictReady"];

/// Name, model and severity of an alert.
type Heard = (String, String, String);

/// A folder whose configuration names a running Alertmanager, which has the routes that were rendered for it.
async fn beside_alertmanager() -> (TempDir, Tool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slos = folder.path().join("slo.yaml");
    fs::write(&slos, SLOS).expect("the folder is writable");
    let mut table = configuration(&fixture_models());
    table.insert("slo_file".into(), slos.display().to_string().into());
    let models = table["proxy"]["models"].as_table_mut().expect("is a section");
    let primary: toml::Table = format!("[{TEXT_MODEL}]\nprimary = '1'").parse().expect("is TOML");
    models.insert("models".into(), primary.into());
    write_configuration(folder.path(), &table);
    let rendered = monitoring::render_in(folder.path(), &[]).await;
    let manager = monitoring::alertmanager(folder.path(), &rendered.join("alertmanager/alertmanager.yml")).await;
    let silences = format!("alertmanager = 'http://{}'\nsettle = '60s'", manager.address);
    table.insert("silences".into(), silences.parse::<toml::Table>().expect("is TOML").into());
    write_configuration(folder.path(), &table);
    (folder, manager)
}

/// Raises everything that can be said of two models, each as loud as it may be, and as a page.
async fn raise(manager: &Tool, folder: &Path) -> BTreeSet<Heard> {
    let text = fs::read_to_string(folder.join("slo.yaml")).expect("is readable");
    let slos = alerts::slo_file::parse(&text).expect("is an SLO file");
    let mut raised = BTreeSet::new();
    for alert in alerts::alerts(&slos) {
        for model in [TEXT_MODEL, "another"] {
            for severity in [alert.severity.as_str(), "page"] {
                raised.insert((alert.name.to_owned(), model.to_owned(), severity.to_owned()));
            }
        }
    }
    let alerts: Vec<Value> = raised
        .iter()
        .map(|(name, model, severity)| json!({"labels": {"alertname": name, "model": model, "severity": severity}}))
        .collect();
    let (status, answer) = manager.post("/api/v2/alerts", &json!(alerts)).await;
    assert_eq!(status, 200, "{answer}");
    raised
}

/// Alerts that are silenced; all that were raised are known.
async fn silenced(manager: &Tool) -> BTreeSet<Heard> {
    let (_, alerts) = manager.get("/api/v2/alerts").await;
    let alerts = alerts.as_array().expect("a list").iter();
    let label = |alert: &Value, key: &str| alert["labels"][key].as_str().unwrap_or_default().to_owned();
    alerts
        .filter(|alert| alert["status"]["silencedBy"].as_array().is_some_and(|by| !by.is_empty()))
        .map(|alert| (label(alert, "alertname"), label(alert, "model"), label(alert, "severity")))
        .collect()
}

/// Ends of the silences that hold.
async fn ends(manager: &Tool) -> Vec<String> {
    let (_, all) = manager.get("/api/v2/silences").await;
    let holds = all.as_array().expect("a list").iter().filter(|silence| silence["status"]["state"] == "active");
    holds
        .map(|silence| {
            assert_eq!(silence["createdBy"], "driftline", "{silence}");
            silence["endsAt"].as_str().expect("ends").to_owned()
        })
        .collect()
}

/// Tells the proxy to change versions.
async fn change(driftline: &Driftline, act: &str, body: Value) {
    let (status, answer) = driftline.post(&format!("{}/v1/models/{TEXT_MODEL}/{act}", driftline.proxy), &body).await;
    assert_eq!(status, 200, "{act}: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_is_quiet_about_its_own_model_and_about_no_page() {
    let (folder, manager) = beside_alertmanager().await;
    let driftline = Driftline::up_in(folder).await;
    let raised = raise(&manager, driftline.folder()).await;
    let quiet: BTreeSet<Heard> = raised
        .iter()
        .filter(|(name, model, severity)| QUIET.contains(&name.as_str()) && model == TEXT_MODEL && severity != "page")
        .cloned()
        .collect();
    assert_eq!(quiet.len(), QUIET.len(), "{quiet:?}");
    assert_eq!(silenced(&manager).await, BTreeSet::new(), "nothing has changed yet");

    change(&driftline, "promote", json!({"version": "2"})).await;
    driftline.wait_for("the silence of a promotion", async || silenced(&manager).await == quiet).await;
    let first = ends(&manager).await;
    assert_eq!(first.len(), 1);

    // a second change moves the end, and there is still one silence
    change(&driftline, "rollback", json!({})).await;
    driftline
        .wait_for("the silence to last for the rollback too", async || {
            let now = ends(&manager).await;
            now.len() == 1 && now != first
        })
        .await;
    assert_eq!(silenced(&manager).await, quiet);

    driftline.wait_for("the end of the rollout", async || ends(&manager).await.is_empty()).await;
    driftline.wait_for("everything to be heard again", async || silenced(&manager).await.is_empty()).await;

    // whoever stops takes what it silenced with it
    change(&driftline, "promote", json!({"version": "2"})).await;
    driftline.wait_for("the silence of the next promotion", async || !ends(&manager).await.is_empty()).await;
    let _folder = driftline.stop().await;
    assert_eq!(ends(&manager).await, [""; 0]);
}

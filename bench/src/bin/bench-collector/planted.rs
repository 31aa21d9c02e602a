//! Identifiers are posted to a real collector over all its routes, and then looked for in everything that it leaves behind:
//! the log and the journal of halves (written while the database is away, and copied while they lie), the quarantine, every
//! table, its own log, its metrics, and what it answered.
//!
//! They are those of the labelled set, each several times, in another place and another disguise. Beside them stand
//! controls where the configuration allows what is personal: that they are found in the log, the journal, the quarantine
//! and the tables shows that the search can find something there.

mod places;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bench::house::{Body, House, PATIENCE, packed, post};
use bench::load::{self, Random};
use bench::table::Table;
use contract::wire::{CLOUD_EVENTS_PATH, EVENTS_PATH, LABELS_PATH, OBSERVATIONS_PATH};
use places::{ALLOWED, CONTROL_PLACES, DISGUISES, PLACES, Place, Plant, REFUSED};
use search::Index;
use serde_json::json;

use crate::masking::{CASES, score};

/// What is planted.
const PLANTED: usize = 5_000;
/// Of each entity's identifiers, how many are controls.
const CONTROLS: usize = 4;
/// Observations in a post.
const BATCH: usize = 50;
/// Of the observations, one in so many has a status that the database is told to refuse.
const REFUSED_EVERY: usize = 8;

/// What lies somewhere: its name, and the numbers of the plants that were found there.
type Finds = BTreeMap<String, BTreeSet<usize>>;

/// Fills `planted` and `allowed`.
pub(super) async fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    let plants = plants();
    let mut house = House::build(program, &config()).await?;
    house.ask(&format!("ALTER TABLE observations ADD CONSTRAINT sane CHECK code != {REFUSED}")).await?;
    house.kill_engine();
    let mut finds = Finds::new();
    let index = index(&plants);
    let refused = refused(&house, &plants).await?;
    finds.insert("error texts".to_owned(), index.in_text(&refused.join("\n")));
    let requests = post_all(&house, &plants).await?;
    finds.insert("log".to_owned(), frames(&house.path("collector"), &index)?);
    finds.insert("journal".to_owned(), frames(&house.path("collector/halves"), &index)?);
    house.start_engine().await?;
    post_responses(&house, &plants, &requests).await?;
    finds.insert(
        "log of the collector".to_owned(),
        index.in_text(&std::fs::read_to_string(house.path("collector.log"))?),
    );
    let metrics = reqwest::Client::new().get(format!("http://{}/metrics", house.address)).send().await?.text().await?;
    finds.insert("metrics".to_owned(), index.in_text(&metrics));
    finds.insert("quarantine".to_owned(), frames(&house.path("collector/quarantine"), &index)?);
    let names =
        house.ask("SELECT name FROM system.tables WHERE database = 'driftline' AND engine NOT LIKE '%View'").await?;
    for name in names.lines() {
        finds.insert(format!("table {name}"), index.in_text(&house.ask(&format!("SELECT * FROM {name}")).await?));
    }
    judge(table, &plants, &finds, refused.len());
    Ok(())
}

/// What the experiment needs beside the defaults.
fn config() -> String {
    format!(
        "[collector.kserve]\nwindow = \"1h\"\n[masking]\nallow = [\"input.{ALLOWED}\", \"input.inputs.{ALLOWED}\", \"{ALLOWED}\"]\n"
    )
}

/// The plants, and behind them the controls.
fn plants() -> Vec<Plant> {
    let mut by_entity: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for case in score::cases(CASES) {
        if let Some((from, to)) = case.span {
            let identifier: String = case.text.chars().skip(from).take(to - from).collect();
            by_entity.entry(case.label).or_default().push((case.text, identifier));
        }
    }
    let mut controls = Vec::new();
    for (entity, cases) in &mut by_entity {
        for (i, case) in cases.split_off(cases.len() - CONTROLS).into_iter().enumerate() {
            controls.push(plant(entity, &case, CONTROL_PLACES[i % CONTROL_PLACES.len()], DISGUISES[i % 4], true));
        }
    }
    // what is part of a control would be found in it
    let bare: Vec<String> = controls.iter().map(|control| search::bare(&control.text)).collect();
    for cases in by_entity.values_mut() {
        cases.retain(|(_, identifier)| !bare.iter().any(|control| control.contains(&search::bare(identifier))));
    }
    let entities: Vec<_> = by_entity.iter().collect();
    let one = |i: usize| {
        let (entity, cases) = entities[i % entities.len()];
        let turn = i / entities.len();
        // by turns through the entity's identifiers, and each time through all places and disguises
        let place = PLACES[(turn + i) % PLACES.len()];
        plant(
            entity,
            &cases[turn % cases.len()],
            place,
            DISGUISES[(turn + turn / DISGUISES.len()) % DISGUISES.len()],
            false,
        )
    };
    (0..PLANTED).map(one).chain(controls).collect()
}

fn plant(
    entity: &str,
    (text, identifier): &(String, String),
    place: Place,
    disguise: &'static str,
    control: bool,
) -> Plant {
    let digits = entity == "card" && identifier.bytes().all(|b| b.is_ascii_digit());
    let hidden = text.replace(identifier, &places::disguised(identifier, disguise));
    let place = match place {
        place if place.is_number() && !digits => Place::Tensor,
        place if place.is_name() && (entity == "ipv4" || hidden.len() > 256) => Place::Reason,
        place => place,
    };
    let disguise = if place.is_number() { "none" } else { disguise };
    Plant { entity: entity.to_owned(), identifier: identifier.clone(), text: hidden, disguise, place, control }
}

fn index(plants: &[Plant]) -> Index {
    let mut index = Index::default();
    for (number, plant) in plants.iter().enumerate() {
        index.add(number, &plant.identifier);
        // a line of a key is as secret as all of them
        for line in plant.identifier.lines().filter(|line| plant.identifier != *line && !line.starts_with('-')) {
            index.add(number, line);
        }
        if let Some(value) = plant.identifier.parse().ok().filter(|_| plant.place.is_number()) {
            index.add_number(number, value);
        }
    }
    index
}

/// Posts everything but responses; the ids of the requests.
async fn post_all(house: &House, plants: &[Plant]) -> anyhow::Result<Vec<String>> {
    let (http, mut random) = (reqwest::Client::new(), Random::new(17));
    let mut observations = Vec::new();
    for plant in plants.iter().filter(|plant| plant.place.is_observation()) {
        let refused = observations.len() % REFUSED_EVERY == 0 && !plant.control
            || plant.disguise == "zero-width" && plant.control;
        observations.push(places::observation(&mut random, plant, refused));
    }
    for (i, some) in observations.chunks(BATCH).enumerate() {
        let batch = load::batch("proxy-1", 1, i as u64 + 1, some.to_vec());
        let body = match i % 3 {
            0 => Body::Json(serde_json::to_string(&batch)?),
            _ => Body::Packed(packed(&batch)?.into()),
        };
        let status = post(&http, &house.address, OBSERVATIONS_PATH, body).await?;
        ensure!(status == 200, "a batch of observations is answered {status}");
    }
    let (mut requests, headers) = (Vec::new(), [("content-type", "application/json")]);
    for plant in plants.iter().filter(|plant| !plant.place.is_observation()) {
        if plant.place.is_kserve() {
            let id = uuid::Uuid::now_v7().to_string();
            let [asked, _] = places::exchange(plant);
            half(&http, house, "request", &id, asked).await?;
            requests.push(id);
        } else {
            let (path, body) = places::beside(plant)?;
            let (status, text) = send(&http, house, path, &headers, body).await?;
            ensure!(status == 200, "{path} answers {status}: {text} to {plant:?}");
        }
    }
    Ok(requests)
}

/// Posts the responses, and waits until all is in the database.
async fn post_responses(house: &House, plants: &[Plant], requests: &[String]) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    let asked = plants.iter().filter(|plant| plant.place.is_kserve());
    for (plant, id) in asked.zip(requests) {
        let [_, given] = places::exchange(plant);
        half(&http, house, "response", id, given).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    let joined = "SELECT count() FROM observations WHERE source = 'kserve'";
    while house.ask(joined).await? != requests.len().to_string() {
        ensure!(Instant::now() < deadline, "not all exchanges are joined after {PATIENCE:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    house.until_inserted().await
}

async fn half(http: &reqwest::Client, house: &House, side: &str, id: &str, body: String) -> anyhow::Result<()> {
    let kind = format!("org.kubeflow.serving.inference.{side}");
    let headers = [("ce-specversion", "1.0"), ("ce-type", &kind), ("ce-id", id), ("ce-inferenceservicename", "chat")];
    let (status, text) = send(http, house, CLOUD_EVENTS_PATH, &headers, body).await?;
    ensure!(status == 200, "a half is answered {status}: {text}");
    Ok(())
}

/// Posts what cannot be taken; what was answered.
async fn refused(house: &House, plants: &[Plant]) -> anyhow::Result<Vec<String>> {
    let http = reqwest::Client::new();
    let mut answers = Vec::new();
    // every entity, some times
    for plant in plants.iter().filter(|plant| !plant.control).step_by(11) {
        let text = plant.text.as_str();
        let json = [("content-type", "application/json")];
        let mut wrong = vec![
            (OBSERVATIONS_PATH, json, json!({"model": "m", "version": "1", "outcome": text}).to_string()),
            (
                OBSERVATIONS_PATH,
                json,
                json!({"model": "m", "version": "1", "outcome": "ok", "at_ms": text}).to_string(),
            ),
            (OBSERVATIONS_PATH, json, json!({"model": "m", "version": "1", "outcome": "ok", text: 1}).to_string()),
            (OBSERVATIONS_PATH, json, format!("{{{text}")),
            (LABELS_PATH, json, json!({"id": text, "label": "a"}).to_string()),
            (LABELS_PATH, [("content-type", "text/csv")], format!("id,{}\nx,y\n", text.replace(['\n', '"'], " "))),
            (EVENTS_PATH, json, json!({"source": format!("{text} "), "events": []}).to_string()),
        ];
        if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            wrong.push((OBSERVATIONS_PATH, [("content-type", text)], "{}".to_owned()));
            wrong.push((OBSERVATIONS_PATH, [("content-encoding", text)], "{}".to_owned()));
            wrong.push((CLOUD_EVENTS_PATH, [("ce-type", text)], "{}".to_owned()));
        }
        for (path, headers, body) in wrong {
            let (status, answer) = send(&http, house, path, &headers, body).await?;
            ensure!((400..500).contains(&status), "{path} answers {status} to what it should refuse: {answer}");
            answers.push(answer);
        }
    }
    Ok(answers)
}

async fn send(
    http: &reqwest::Client,
    house: &House,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> anyhow::Result<(u16, String)> {
    let mut request = http.post(format!("http://{}{path}", house.address)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// What is found in the frames of a folder's files. The reader is not the collector's: eight bytes, then frames of a
/// marker, a length, a checksum and a record packed with zstd.
fn frames(folder: &Path, index: &Index) -> anyhow::Result<BTreeSet<usize>> {
    let (mut found, mut seen) = (BTreeSet::new(), 0);
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        found.extend(index.in_bytes(&bytes));
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some(length) = rest.strip_prefix(b"DLf1").and_then(|rest| rest.first_chunk()) {
            let length = u32::from_le_bytes(*length) as usize;
            let frame = rest.get(12..12 + length).context("a frame is cut off")?;
            found.extend(index.in_bytes(&zstd::decode_all(frame)?));
            rest = &rest[12 + length..];
            seen += 1;
        }
    }
    ensure!(seen > 0, "{} has no frames", folder.display());
    Ok(found)
}

/// Where a control must be.
fn must_be_in(plant: &Plant) -> Vec<&'static str> {
    match plant.place {
        Place::KserveTensor => vec!["journal", "table payloads"],
        Place::Category => vec!["log", "table categories"],
        _ if plant.disguise == "zero-width" => vec!["log", "quarantine", "table payloads"],
        _ => vec!["log", "table payloads"],
    }
}

fn judge(table: &mut Table, plants: &[Plant], finds: &Finds, refused: usize) {
    let mut leaks = BTreeSet::new();
    for (place, found) in finds {
        let found = found.iter().map(|number| &plants[*number]).filter(|plant| !plant.control);
        for (entity, identifier) in found.map(|plant| (&plant.entity, &plant.identifier)).collect::<BTreeSet<_>>() {
            eprintln!("found in {place}: {entity} {identifier:?}");
            leaks.insert(identifier);
        }
    }
    let (mut met, mut expected) = (0_usize, 0_usize);
    for (number, control) in plants.iter().enumerate().filter(|(_, plant)| plant.control) {
        for place in must_be_in(control) {
            expected += 1;
            let there = finds.get(place).is_some_and(|found| found.contains(&number));
            met += usize::from(there);
            if !there {
                eprintln!("not found in {place}: {control:?}");
            }
        }
    }
    let those = plants.iter().filter(|plant| !plant.control);
    let entities: BTreeSet<_> = those.clone().map(|plant| &plant.entity).collect();
    let different: BTreeSet<_> = those.map(|plant| &plant.identifier).collect();
    let note = format!(
        "{PLANTED} times one of {} identifiers of {} entities, {} places, {} disguises; looked for in {} stores, among them the answers to {refused} refused posts",
        different.len(),
        entities.len(),
        PLACES.len(),
        DISGUISES.len(),
        finds.len()
    );
    table.seen("planted", leaks.len() as f64, note);
    let note = format!("{met} of {expected}, in the log, the journal, the quarantine and the tables");
    table.seen("allowed", met as f64 / expected as f64, note);
}

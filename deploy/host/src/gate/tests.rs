//! The gate before real sockets: keys, scopes, rates, heads and bodies that come slowly, TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::keys::{KeyFile, NewKey, generate};
use crate::client::{ClientSettings, Neighbour};
use crate::config::{ByteSize, Faults};
use crate::rate::RawQuota;
use crate::tls::{ClientTls, RawTls};

/// Longest wait for anything: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

fn rule(method: &Method, path: &str) -> Need {
    let scope = match path {
        "/infer" => Scope::Infer,
        _ if method.is_safe() => Scope::Read,
        _ => Scope::Admin,
    };
    Need::of_operations(path).unwrap_or(Need::Scope(scope))
}

struct Server {
    address: SocketAddr,
    registry: Registry,
    shutdown: CancellationToken,
}

impl Server {
    async fn start(raw: RawEdge) -> Self {
        let registry = Registry::new();
        let listener = crate::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut faults = Faults::default();
        let config = raw.check("edge", address, &mut faults);
        let gate = Gate::new(faults.result(config).unwrap(), &registry);
        let who = |caller: Option<axum::Extension<Caller>>| {
            std::future::ready(caller.map_or_else(String::new, |caller| caller.0.name.to_string()))
        };
        let router = Router::new()
            .route("/infer", post(async |body: String| body.len().to_string()))
            .route("/page", get(who).post(who))
            .merge(crate::edge::operations(&registry, &crate::edge::Readiness::default()));
        let router = gate.guard(router, rule);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move { crate::serve::serve(listener, router, &gate, stop, Duration::ZERO).await });
        Self { address, registry, shutdown }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn counts(&self, line: &str) -> bool {
        self.registry.render().contains(line)
    }

    async fn wait_for(&self, line: &str) {
        let since = Instant::now();
        while !self.counts(line) {
            assert!(since.elapsed() < PATIENCE, "{line} is not in\n{}", self.registry.render());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn key(name: &str, scopes: &[Scope]) -> NewKey {
    generate(name, scopes).unwrap()
}

fn with_keys(keys: &[&NewKey]) -> RawEdge {
    let auth = RawAuth { keys: keys.iter().map(|key| key.known.clone()).collect(), ..RawAuth::default() };
    RawEdge { auth, ..RawEdge::default() }
}

async fn ask(
    server: &Server,
    method: &str,
    path: &str,
    key: Option<&str>,
) -> (u16, String, reqwest::header::HeaderMap) {
    let request = reqwest::Client::new().request(method.parse().unwrap(), server.url(path));
    let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, answer.text().await.unwrap(), headers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_what_its_scopes_name_and_nothing_else() {
    let (reader, asker) = (key("reader", &[Scope::Read]), key("asker", &[Scope::Infer]));
    let raw = RawEdge { metrics_open: Some(false), ..with_keys(&[&reader, &asker]) };
    let server = Server::start(raw).await;
    for (method, path, key, expected) in [
        ("GET", "/health/live", None, 200),
        ("GET", "/health/ready", None, 503),
        ("GET", "/page", None, 401),
        ("GET", "/page", Some("dl_wrong"), 401),
        ("GET", "/page", Some(&*reader.secret), 200),
        ("GET", "/page", Some(&*asker.secret), 403),
        ("POST", "/page", Some(&*reader.secret), 403),
        ("POST", "/infer", Some(&*asker.secret), 200),
        ("GET", "/metrics", None, 401),
        ("GET", "/metrics", Some(&*asker.secret), 403),
        ("GET", "/metrics", Some(&*reader.secret), 200),
        ("GET", "/nowhere", None, 401),
    ] {
        let (status, body, headers) = ask(&server, method, path, key).await;
        assert_eq!(status, expected, "{method} {path} {key:?}: {body}");
        match status {
            401 => {
                let challenges: Vec<_> = headers.get_all("www-authenticate").iter().collect();
                assert!(challenges.len() == 2 && challenges[0].to_str().unwrap().starts_with("Bearer"), "{headers:?}");
            }
            403 => assert!(body.contains("lacks the scope '"), "{body}"),
            _ => {}
        }
    }
    assert_eq!(ask(&server, "GET", "/page", Some(&reader.secret)).await.1, "reader");
    for line in [
        "driftline_edge_auth_failures_total{reason=\"missing\"} 3",
        "driftline_edge_auth_failures_total{reason=\"unknown_key\"} 1",
        "driftline_edge_auth_failures_total{reason=\"missing_scope\"} 3",
        "driftline_edge_auth_failures_total{reason=\"expired\"} 0",
    ] {
        assert!(server.counts(line), "{line} is not in\n{}", server.registry.render());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browsers_password_is_no_use_to_another_site() {
    let admin = key("admin", &[Scope::Admin, Scope::Read]);
    let server = Server::start(with_keys(&[&admin])).await;
    let send = |method: &'static str, from: Option<&'static str>| {
        let request = reqwest::Client::new().request(method.parse().unwrap(), server.url("/page"));
        let request = request.basic_auth("anybody", Some(&admin.secret));
        let request = from.into_iter().fold(request, |request, from| request.header("sec-fetch-site", from));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send("GET", Some("cross-site")).await, 200, "a link from elsewhere opens the page");
    assert_eq!(send("POST", Some("cross-site")).await, 403);
    assert_eq!(send("POST", Some("same-site")).await, 403);
    assert_eq!(send("POST", Some("same-origin")).await, 200);
    assert_eq!(send("POST", None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_grpc_reads_a_refusal_in_its_own_protocol() {
    let server = Server::start(with_keys(&[&key("k", &[Scope::Read])])).await;
    let request = reqwest::Client::new().post(server.url("/infer")).header("content-type", "application/grpc+proto");
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["grpc-status"].to_str().unwrap()), (200, "16"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_over_its_rate_is_told_when_to_come_back_and_others_are_not() {
    let (busy, calm) = (key("busy", &[Scope::Read]), key("calm", &[Scope::Read]));
    let rate = Some(RawQuota { per_second: 0.01, burst: Some(5) });
    let server = Server::start(RawEdge { rate, ..with_keys(&[&busy, &calm]) }).await;
    let mut asked = tokio::task::JoinSet::new();
    let client = reqwest::Client::new();
    for _ in 0..40 {
        asked.spawn(client.get(server.url("/page")).bearer_auth(&busy.secret).send());
    }
    let answers: Vec<_> = asked.join_all().await.into_iter().map(Result::unwrap).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert_eq!(refused.len(), 35);
    let wait: u64 = refused[0].headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((50..=100).contains(&wait), "{wait}");
    assert_eq!(ask(&server, "GET", "/page", Some(&calm.secret)).await.0, 200);
    assert!(server.counts("driftline_edge_refused_requests_total{reason=\"rate\"} 35"));
    // whoever guesses is held to the rate of the address
    for expected in [401, 401, 401, 401, 401, 429] {
        assert_eq!(ask(&server, "GET", "/page", Some("dl_guess")).await.0, expected);
    }
    assert_eq!(ask(&server, "GET", "/health/live", None).await.0, 200, "health is asked as often as it takes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_read_again_when_their_file_changes_and_a_broken_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    let (old, new) = (key("old", &[Scope::Read]), key("newer", &[Scope::Read]));
    let write = |keys: &[&NewKey]| {
        let keys = keys.iter().map(|key| key.known.clone()).collect();
        std::fs::write(&path, toml::to_string(&KeyFile { keys }).unwrap()).unwrap();
    };
    write(&[&old]);
    let auth = RawAuth { key_files: vec![path.clone()], ..RawAuth::default() };
    let server = Server::start(RawEdge { auth, ..RawEdge::default() }).await;
    assert_eq!(ask(&server, "GET", "/page", Some(&old.secret)).await.0, 200);
    std::fs::write(&path, "nonsense").unwrap();
    server.wait_for("driftline_edge_reloads_total{kind=\"keys\",outcome=\"error\"} 1").await;
    assert_eq!(ask(&server, "GET", "/page", Some(&old.secret)).await.0, 200);
    write(&[&new]);
    server.wait_for("driftline_edge_reloads_total{kind=\"keys\",outcome=\"ok\"} 1").await;
    assert_eq!(ask(&server, "GET", "/page", Some(&old.secret)).await.0, 401);
    assert_eq!(ask(&server, "GET", "/page", Some(&new.secret)).await.0, 200);
}

/// Writes the parts of a request with pauses, until the server closes; what it answered.
fn trickle(address: SocketAddr, parts: &[&[u8]], pause: Duration) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    for part in parts {
        if connection.write_all(part).is_err() {
            break;
        }
        std::thread::sleep(pause);
    }
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let raw = RawEdge { header_timeout: Duration::from_millis(300), ..RawEdge::default() };
    let server = Server::start(raw).await;
    let address = server.address;
    // nothing at all; what may yet become HTTP/2; a head that gets another line now and then
    let silent = tokio::task::spawn_blocking(move || trickle(address, &[], Duration::ZERO));
    let preface = tokio::task::spawn_blocking(move || trickle(address, &[b"PRI * HT"], Duration::ZERO));
    let lines = tokio::task::spawn_blocking(move || {
        let mut parts: Vec<&[u8]> = vec![b"GET /page HTTP/1.1\r\nhost: here\r\n"];
        parts.extend([&b"x-more: 1\r\n"[..]; 100]);
        trickle(address, &parts, Duration::from_millis(50))
    });
    for connection in [silent, preface, lines] {
        let answer = tokio::time::timeout(PATIENCE, connection).await.expect("is closed").unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    server.wait_for("driftline_edge_refused_connections_total{reason=\"slow_head\"} 3").await;
    // a kept-alive connection that is closed while it is idle is no refusal
    let idle = tokio::task::spawn_blocking(move || {
        trickle(address, &[b"GET /health/live HTTP/1.1\r\nhost: here\r\n\r\n"], Duration::ZERO)
    });
    assert!(tokio::time::timeout(PATIENCE, idle).await.expect("is closed").unwrap().contains("200 OK"));
    assert!(server.counts("driftline_edge_refused_connections_total{reason=\"slow_head\"} 3"));
    server.wait_for("driftline_edge_connections 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_and_does_not_read_is_cut_off() {
    let raw = RawEdge { header_timeout: Duration::from_millis(300), ..RawEdge::default() };
    let server = Server::start(raw).await;
    let address = server.address;
    let asking = tokio::task::spawn_blocking(move || {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        let requests = b"GET /health/live HTTP/1.1\r\nhost: here\r\n\r\n".repeat(1_000);
        // answers fill the buffers of both sides, then the server stops reading, then it hangs up
        while connection.write_all(&requests).is_ok() {}
    });
    tokio::time::timeout(2 * PATIENCE, asking).await.expect("is cut off").unwrap();
    server.wait_for("driftline_edge_connections 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_another_sites_page_changes_nothing() {
    let server = Server::start(RawEdge::default()).await;
    let from = |site: &'static str, method: &str| {
        let method = method.parse().unwrap();
        reqwest::Client::new().request(method, server.url("/page")).header("sec-fetch-site", site).send()
    };
    for (site, method, expected) in [
        ("cross-site", "POST", 403),
        ("same-site", "POST", 403),
        ("same-origin", "POST", 200),
        ("cross-site", "GET", 200),
    ] {
        assert_eq!(from(site, method).await.unwrap().status().as_u16(), expected, "{site} {method}");
    }
}

/// To a server of plain HTTP that others can reach a browser says the page's origin and nothing of where it sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_changes_nothing_over_plain_http() {
    let server = Server::start(RawEdge::default()).await;
    let own = server.url("");
    for (origin, method, expected) in [
        ("http://evil.example", "POST", 403),
        ("null", "POST", 403),
        ("http://evil.example", "GET", 200),
        (own.as_str(), "POST", 200),
    ] {
        let request = reqwest::Client::new().request(method.parse().unwrap(), server.url("/page"));
        let status = request.header("origin", origin).send().await.unwrap().status().as_u16();
        assert_eq!(status, expected, "{origin} {method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stands_still_is_answered_408() {
    let raw = RawEdge { body_timeout: Duration::from_millis(200), ..RawEdge::default() };
    let server = Server::start(raw).await;
    let address = server.address;
    let stuck = tokio::task::spawn_blocking(move || {
        let head = b"POST /infer HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 100\r\n\r\nabc";
        trickle(address, &[head], Duration::ZERO)
    });
    let answer = tokio::time::timeout(PATIENCE, stuck).await.expect("is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too slowly"), "{answer}");
    assert!(server.counts("driftline_edge_refused_requests_total{reason=\"slow_body\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_and_long_paths_are_refused_and_counted() {
    let raw = RawEdge { max_header_bytes: ByteSize::new(8 << 10), max_headers: 20, ..RawEdge::default() };
    let server = Server::start(RawEdge { max_uri_bytes: ByteSize::new(1_000), ..raw }).await;
    let client = reqwest::Client::new();
    let long = client.get(server.url(&format!("/page?{}", "x".repeat(1_000)))).send().await.unwrap();
    assert_eq!(long.status(), 414);
    let many = (0..30).fold(client.get(server.url("/page")), |request, n| request.header(format!("x-{n}"), "1"));
    assert_eq!(many.send().await.unwrap().status(), 431);
    let large = client.get(server.url("/page")).header("x-large", "x".repeat(20 << 10)).send().await;
    assert!(large.is_err() || large.unwrap().status() == 431);
    server.wait_for("driftline_edge_refused_connections_total{reason=\"bad_head\"} 2").await;
    assert!(server.counts("driftline_edge_refused_requests_total{reason=\"long_path\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_bound_are_told_so_and_closed() {
    let server = Server::start(RawEdge { max_connections: 2, ..RawEdge::default() }).await;
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    server.wait_for("driftline_edge_connections 2").await;
    let address = server.address;
    let answer = tokio::task::spawn_blocking(move || trickle(address, &[], Duration::ZERO)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert!(server.counts("driftline_edge_refused_connections_total{reason=\"too_many\"} 1"));
    drop(held);
    server.wait_for("driftline_edge_connections 0").await;
    assert_eq!(ask(&server, "GET", "/page", None).await.0, 200);
}

/// An authority and certificates of its making.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes `name.crt`, `name.key` and this authority's `name.ca`; the certificate is for 127.0.0.1.
    fn write(&self, dir: &Path, name: &str) -> [std::path::PathBuf; 3] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &self.0).unwrap();
        let texts = [("crt", certificate.pem()), ("key", key.serialize_pem()), ("ca", self.0.pem())];
        texts.map(|(kind, text)| {
            let path = dir.join(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path
        })
    }
}

fn neighbour(ca_file: &Path, identity: Option<(&Path, &Path)>) -> Neighbour {
    let identity = identity.map(|(cert, key)| (cert.into(), key.into()));
    let tls = ClientTls { ca_file: Some(ca_file.into()), identity };
    Neighbour::new(ClientSettings { timeout: PATIENCE, tls, ..ClientSettings::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_under_open_connections() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    let [cert_file, key_file, old_ca] = first.write(dir.path(), "server");
    std::fs::copy(&old_ca, dir.path().join("old.ca")).unwrap();
    let tls = Some(RawTls { cert_file, key_file, client_ca_file: None });
    let server = Server::start(RawEdge { tls, ..RawEdge::default() }).await;
    let url = format!("https://{}/infer", server.address);
    let old = neighbour(&dir.path().join("old.ca"), None);
    assert_eq!(&old.post(&url, &[], "abc".into()).await.unwrap().body[..], b"3");

    let [.., new_ca] = second.write(dir.path(), "server");
    server.wait_for("driftline_edge_reloads_total{kind=\"certificate\",outcome=\"ok\"}").await;
    assert_eq!(&old.post(&url, &[], "abcd".into()).await.unwrap().body[..], b"4", "the open connection goes on");
    assert_eq!(&neighbour(&new_ca, None).post(&url, &[], "ab".into()).await.unwrap().body[..], b"2");
    let error = neighbour(&dir.path().join("old.ca"), None).post(&url, &[], "a".into()).await.unwrap_err();
    assert!(matches!(&error, crate::client::PostError::Tls(text) if text.contains("certificate")), "{error}");
    server.wait_for("driftline_edge_refused_connections_total{reason=\"handshake\"} 1").await;
}

/// What `openssl req -x509` makes: its own authority, and here for another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_named_itself_is_trusted_and_only_that_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let mut params = CertificateParams::new(vec!["elsewhere.example".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let texts = [("crt", params.self_signed(&key).unwrap().pem()), ("key", key.serialize_pem())];
        texts.map(|(kind, text)| {
            let path = dir.path().join(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path
        })
    };
    let ([cert_file, key_file], [other, _]) = (write("server"), write("other"));
    let tls = Some(RawTls { cert_file: cert_file.clone(), key_file, client_ca_file: None });
    let server = Server::start(RawEdge { tls, ..RawEdge::default() }).await;
    let url = format!("https://{}/infer", server.address);
    assert!(neighbour(&cert_file, None).post(&url, &[], "a".into()).await.is_ok());
    assert!(neighbour(&other, None).post(&url, &[], "a".into()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_client_authority_only_its_certificates_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let [cert_file, key_file, ca] = ours.write(dir.path(), "server");
    let tls = Some(RawTls { cert_file, key_file, client_ca_file: Some(ca.clone()) });
    let server = Server::start(RawEdge { tls, ..RawEdge::default() }).await;
    let url = format!("https://{}/infer", server.address);
    let [cert, key, _] = ours.write(dir.path(), "client");
    let [other_cert, other_key, _] = theirs.write(dir.path(), "other");
    assert!(neighbour(&ca, Some((&cert, &key))).post(&url, &[], "a".into()).await.is_ok());
    assert!(neighbour(&ca, None).post(&url, &[], "a".into()).await.is_err());
    assert!(neighbour(&ca, Some((&other_cert, &other_key))).post(&url, &[], "a".into()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_a_client_that_is_still_sending_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let [cert_file, key_file, ca] = authority.write(dir.path(), "server");
    let (tls, key) = (Some(RawTls { cert_file, key_file, client_ca_file: None }), key("k", &[Scope::Read]));
    let server = Server::start(RawEdge { tls, ..with_keys(&[&key]) }).await;
    let url = format!("https://{}/infer", server.address);
    let answer = neighbour(&ca, None).post(&url, &[], vec![b'x'; 32 << 20].into()).await.unwrap();
    assert_eq!(answer.status, 401);
}

#[test]
fn an_open_listener_that_others_can_reach_is_a_fault_unless_it_is_meant() {
    let check = |raw: RawEdge, listen: &str| {
        let mut faults = Faults::default();
        raw.check("proxy.edge", listen.parse().unwrap(), &mut faults);
        faults.result(()).map_err(|faults| faults.to_string())
    };
    for listen in ["127.0.0.1:80", "[::1]:80"] {
        assert_eq!(check(RawEdge::default(), listen), Ok(()), "{listen}");
    }
    for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"] {
        let sentence = check(RawEdge::default(), listen).unwrap_err();
        assert!(sentence.contains("proxy.edge.auth") && sentence.contains("allow_open"), "{sentence}");
        assert_eq!(check(RawEdge { allow_open: true, ..RawEdge::default() }, listen), Ok(()));
        assert_eq!(check(with_keys(&[&key("k", &[Scope::Read])]), listen), Ok(()));
    }
}

#[test]
fn every_fault_of_an_edge_is_listed() {
    let raw: RawEdge = toml::from_str(
        "max_connections = 0\nmax_header_bytes = 1\nheader_timeout = \"0s\"\nrate = { per_second = 0.0 }\n\
         auth = { key_files = [\"absent.toml\"] }\ntls = { cert_file = \"absent.crt\", key_file = \"absent.key\" }\n",
    )
    .unwrap();
    let mut faults = Faults::default();
    raw.check("e", "127.0.0.1:0".parse().unwrap(), &mut faults);
    let text = faults.result(()).unwrap_err().to_string();
    for part in [
        "e.max_connections",
        "e.max_header_bytes",
        "e.header_timeout",
        "e.rate.per_second",
        "absent.toml",
        "absent.crt",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

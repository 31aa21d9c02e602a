//! Several real engines that know each other as the shards of a cluster, without Keeper.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use store::{Config, RawConfig, Store};
use tokio::process::{Child, Command};

use crate::house::library;

/// The cluster's name.
pub const NAME: &str = "three";

/// Engines with HTTP and native listeners on loopback.
pub struct Shards {
    servers: Vec<Server>,
    dir: tempfile::TempDir,
}

struct Server {
    http: u16,
    native: u16,
    child: Option<Child>,
}

impl Shards {
    pub async fn start(n: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // all are held until all are known, so that none is picked twice
        let held: Vec<_> = (0..2 * n).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(held);
        let servers = ports.chunks(2).map(|pair| Server { http: pair[0], native: pair[1], child: None }).collect();
        let mut this = Self { servers, dir };
        for i in 0..n {
            this.launch(i);
        }
        for i in 0..n {
            this.until_ready(i).await;
        }
        this
    }

    /// SIGKILL.
    pub async fn kill(&mut self, i: usize) {
        self.servers[i].child.take().unwrap().kill().await.unwrap();
    }

    /// Starts one again, on its ports and with its data.
    pub async fn restart(&mut self, i: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.launch(i);
            self.until_ready_or_gone(i).await;
            if self.servers[i].child.as_mut().unwrap().try_wait().unwrap().is_none() {
                return;
            }
            // the killed one may still hold a port
            assert!(Instant::now() < deadline, "shard {i} does not come up again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn url(&self, i: usize) -> String {
        format!("http://127.0.0.1:{}", self.servers[i].http)
    }

    /// The section that names all of them.
    pub fn raw(&self) -> RawConfig {
        RawConfig {
            url: Some(self.url(0)),
            cluster: Some(NAME.to_owned()),
            shards: (0..self.servers.len()).map(|i| self.url(i)).collect(),
            ..RawConfig::default()
        }
    }

    pub fn store(&self) -> Store {
        connect(self.raw())
    }

    /// A database of one server on the first of them.
    pub fn single(&self) -> Store {
        connect(RawConfig { url: Some(self.url(0)), database: "single".to_owned(), ..RawConfig::default() })
    }

    /// Rows of a query to one of them, as tab-separated lines.
    pub async fn ask(&self, i: usize, database: &str, sql: &str) -> String {
        let url = format!("{}/?database={database}", self.url(i));
        let answer = reqwest::Client::new().post(url).body(sql.to_owned()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{sql}: {text}");
        text.trim_end().to_owned()
    }

    fn launch(&mut self, i: usize) {
        let dir = self.dir.path().join(i.to_string());
        std::fs::create_dir_all(dir.join("tables")).unwrap();
        std::fs::write(dir.join("users.xml"), USERS).unwrap();
        std::fs::write(dir.join("engine.xml"), self.engine_xml(&dir)).unwrap();
        let Server { http, native, .. } = self.servers[i];
        let child = Command::new(env!("CARGO_BIN_EXE_engine-child"))
            .arg("engine")
            .arg(library())
            .arg(format!("--config-file={}", dir.join("engine.xml").display()))
            .arg(format!("--path={}", dir.join("tables").display()))
            .arg(
                "--query=SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; INSERT INTO FUNCTION null('line String') \
                 SELECT * FROM file('/dev/stdin', 'LineAsString', 'line String')",
            )
            .args(["--".to_owned(), format!("--http_port={http}"), format!("--tcp_port={native}")])
            .arg("--listen_host=127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.servers[i].child = Some(child);
    }

    async fn until_ready(&mut self, i: usize) {
        self.until_ready_or_gone(i).await;
        let gone = self.servers[i].child.as_mut().unwrap().try_wait().unwrap();
        assert!(gone.is_none(), "shard {i} ended at once: {gone:?}");
    }

    async fn until_ready_or_gone(&mut self, i: usize) {
        let store = connect(RawConfig { url: Some(self.url(i)), ..RawConfig::default() });
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.servers[i].child.as_mut().unwrap().try_wait().unwrap().is_none() && store.ping().await.is_err() {
            assert!(Instant::now() < deadline, "shard {i} does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn engine_xml(&self, dir: &Path) -> String {
        let replica = |server: &Server| {
            format!(
                "<shard><replica><host>127.0.0.1</host><port>{}</port><user>default</user></replica></shard>",
                server.native
            )
        };
        let all: String = self.servers.iter().map(replica).collect();
        let dir = dir.display();
        format!(
            "<clickhouse>
  <users_config>{dir}/users.xml</users_config>
  <tmp_path>{dir}/tables/tmp/</tmp_path>
  <max_server_memory_usage>1000000000</max_server_memory_usage>
  <mark_cache_size>16777216</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <remote_servers><{NAME}>{all}</{NAME}></remote_servers>
</clickhouse>
"
        )
    }
}

const USERS: &str = "<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
</clickhouse>
";

pub fn connect(raw: RawConfig) -> Store {
    Store::connect(&Config::new(raw).unwrap()).unwrap()
}

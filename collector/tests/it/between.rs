//! A listener of raw TCP between the collector and the real engine, with moods.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the listener does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Hands everything on.
    Honest,
    /// Says this, whatever it is asked.
    Says(&'static str),
    /// Says this once it was asked to insert; answers questions honestly.
    SaysToInserts(&'static str),
    /// Takes everything and says nothing.
    Silent,
    /// Hangs up in the middle of an insert's rows.
    CutsRequests,
    /// Hands everything on, and loses the answers.
    LosesAnswers,
    /// Hands everything on, a few bytes at a time.
    Slow,
    /// Hands everything on with these settings of ClickHouse before its own, so that the engine itself is in trouble.
    With(&'static str),
}

pub struct Between {
    pub address: SocketAddr,
    mood: Arc<Mutex<(Mood, u32)>>,
}

impl Between {
    pub async fn listen(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self { address: listener.local_addr().unwrap(), mood: Arc::new(Mutex::new((Mood::Honest, 0))) };
        let mood = between.mood.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(client, engine, mood.clone()));
            }
        });
        between
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = (mood, 0);
    }

    /// Waits until the mood was felt so often.
    pub async fn felt(&self, times: u32) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while self.mood.lock().unwrap().1 < times {
            assert!(Instant::now() < deadline, "{:?} was not felt", self.mood.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connection(client: TcpStream, engine: SocketAddr, mood: Arc<Mutex<(Mood, u32)>>) {
    let Ok(server) = TcpStream::connect(engine).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let now = || mood.lock().unwrap().0;
    let feel = || mood.lock().unwrap().1 += 1;
    let (mut request, mut answer) = (vec![0; 4096], vec![0; 4096]);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &request[..read];
                let insert = String::from_utf8_lossy(bytes).contains("INSERT");
                match now() {
                    Mood::Says(words) => {
                        feel();
                        let _ = to_client.write_all(words.as_bytes()).await;
                        return;
                    }
                    Mood::SaysToInserts(words) if insert => {
                        feel();
                        let _ = to_client.write_all(words.as_bytes()).await;
                        return;
                    }
                    Mood::Silent => {
                        feel();
                        std::future::pending::<()>().await;
                    }
                    Mood::CutsRequests if insert => {
                        feel();
                        let _ = to_server.write_all(&bytes[..read - read / 4]).await;
                        return;
                    }
                    Mood::Slow => {
                        feel();
                        for few in bytes.chunks(512) {
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            if to_server.write_all(few).await.is_err() { return }
                        }
                    }
                    Mood::With(settings) => {
                        let text = String::from_utf8_lossy(bytes);
                        let head = text.starts_with("POST /?").then(|| format!("POST /?{settings}&"));
                        let rest = if head.is_some() { &bytes["POST /?".len()..] } else { bytes };
                        if head.is_some() { feel() }
                        let bytes = [head.unwrap_or_default().as_bytes(), rest].concat();
                        if to_server.write_all(&bytes).await.is_err() { return }
                    }
                    _ => if to_server.write_all(bytes).await.is_err() { return },
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(read @ 1..) = read else { return };
                if now() == Mood::LosesAnswers {
                    feel();
                    return;
                }
                if to_client.write_all(&answer[..read]).await.is_err() { return }
            }
        }
    }
}

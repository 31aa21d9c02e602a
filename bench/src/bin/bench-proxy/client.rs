//! A load client that costs little: prepared requests over kept-alive connections, a blocking thread each.
//!
//! It shares the machine with what it measures. Its own processor time is read from the process's clock (what getrusage
//! sums up too) and subtracted: with `c` seconds of it on `n` cores, the server had `wall - c / n` of the machine, so
//! its rate is `answers / (wall - c / n)`. Nothing else runs in this process meanwhile.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A whole HTTP request, head and body.
pub type Request = Vec<u8>;

/// A `POST` of JSON.
pub fn post(path: &str, body: &str) -> Request {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A `GET`.
pub fn get(path: &str) -> Request {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// A kept-alive connection.
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { address, stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// The answer's status and body.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        if let Err(error) = self.exchange(request) {
            // the next request shall not read the rest of this answer
            *self = Self::open(self.address)?;
            return Err(error);
        }
        let status = std::str::from_utf8(self.buffer.get(9..12).unwrap_or_default()).ok().and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("an answer without a status"))?;
        let (head, _) = head(&self.buffer).unwrap_or_default();
        Ok((status, &self.buffer[head..]))
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut chunk = [0; 8 << 10];
        loop {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.buffer.extend_from_slice(&chunk[..n]),
            }
            if head(&self.buffer).is_some_and(|(head, body)| self.buffer.len() >= head + body) {
                return Ok(());
            }
        }
    }
}

/// Length of an answer's head, and what it says of the body's; `None` until the head is whole.
fn head(answer: &[u8]) -> Option<(usize, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..end]).ok()?;
    let length = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((end, length.unwrap_or_default()))
}

/// Reads requests, for a server that only counts them.
#[derive(Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// Waits for a whole request and forgets it; `false` at the end of the connection.
    pub fn request(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut chunk = [0; 64 << 10];
        loop {
            if let Some((head, body)) = head(&self.buffer)
                && self.buffer.len() >= head + body
            {
                self.buffer.drain(..head + body);
                return Ok(true);
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(false),
                n => self.buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

/// What a load did.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Answers with status 200.
    pub good: usize,
    /// Everything else: other statuses and broken connections.
    pub bad: usize,
    /// Seconds, from the first request to the last answer.
    pub wall: f64,
    /// Processor seconds of this process meanwhile.
    pub own_cpu: f64,
    /// Seconds each good answer took, sorted.
    pub latencies: Vec<f64>,
}

impl Load {
    /// Good answers a second of the machine that the client left to the server.
    pub fn rate(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
        self.good as f64 / (self.wall - self.own_cpu / cores)
    }

    /// Share of the machine that the client took.
    pub fn own_share(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
        self.own_cpu / (self.wall * cores)
    }

    /// The latency, in seconds, that the share `q` of the good answers did not exceed.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.latencies, q)
    }

    fn sum(parts: Vec<Self>, wall: f64, own_cpu: f64) -> Self {
        let mut all = Self { wall, own_cpu, ..Self::default() };
        for part in parts {
            all.good += part.good;
            all.bad += part.bad;
            all.latencies.extend(part.latencies);
        }
        all.latencies.sort_by(f64::total_cmp);
        all
    }
}

/// The value that the share `q` of sorted values does not exceed; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn own_cpu() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// So many connections, each asking again as soon as it is answered, for so long.
pub fn saturate(address: SocketAddr, requests: &[Request], connections: usize, duration: Duration) -> Load {
    let started = Instant::now();
    ask_while(address, requests, connections, |_| started.elapsed() < duration)
}

/// Every request once, over so many connections that ask again as soon as they are answered.
pub fn pass(address: SocketAddr, requests: &[Request], connections: usize) -> Load {
    ask_while(address, requests, connections, |turn| turn < requests.len())
}

/// The same for as long as `more` says so of the request's number.
pub fn ask_while(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
    more: impl Fn(usize) -> bool + Sync,
) -> Load {
    let next = AtomicUsize::new(0);
    crowd(address, connections, |connection, load| {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if !more(turn) {
                return;
            }
            let asked = Instant::now();
            count(load, &connection.ask(&requests[turn % requests.len()]), asked);
        }
    })
}

/// A request at each of these moments (seconds from the start), whatever the answers do; the time counts from the
/// moment it was due, so a server that falls behind cannot hide it. `connections` bounds the open requests.
pub fn paced(address: SocketAddr, requests: &[Request], due: &[f64], connections: usize) -> Load {
    let next = AtomicUsize::new(0);
    let start = Instant::now() + Duration::from_millis(100);
    crowd(address, connections, |connection, load| {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(&seconds) = due.get(turn) else { return };
            let due = start + Duration::from_secs_f64(seconds);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            count(load, &connection.ask(&requests[turn % requests.len()]), due);
        }
    })
}

fn crowd(address: SocketAddr, connections: usize, work: impl Fn(&mut Connection, &mut Load) + Sync) -> Load {
    let (started, cpu) = (Instant::now(), own_cpu());
    let work = &work;
    let one = move || {
        let mut load = Load::default();
        match Connection::open(address) {
            Ok(mut connection) => work(&mut connection, &mut load),
            Err(_) => load.bad += 1,
        }
        load
    };
    let parts = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(Load { bad: 1, ..Load::default() })).collect()
    });
    Load::sum(parts, started.elapsed().as_secs_f64(), own_cpu() - cpu)
}

fn count(load: &mut Load, answer: &io::Result<(u16, &[u8])>, since: Instant) {
    match answer {
        Ok((200, _)) => {
            load.good += 1;
            load.latencies.push(since.elapsed().as_secs_f64());
        }
        _ => load.bad += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_where_the_body_ends() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        assert_eq!(head(answer), Some((answer.len() - 5, 5)));
        assert_eq!(head(&answer[..20]), None);
    }

    #[test]
    fn quantiles_are_order_statistics() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&sorted, 0.5), quantile(&sorted, 0.99), quantile(&sorted, 1.0)), (50.0, 99.0, 100.0));
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_clients_share_is_given_back() {
        let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
        let load = Load { good: 900, wall: 10.0, own_cpu: cores, ..Load::default() };
        assert!((load.rate() - 100.0).abs() < 1e-9);
    }
}

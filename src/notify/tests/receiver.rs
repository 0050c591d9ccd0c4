//! A receiver as tests want it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What it does with each request.
#[derive(Clone)]
pub enum Behaviour {
    /// A status, more header lines, and a body.
    Answer(u16, String, String),
    /// A 500 whose body never ends.
    Endless,
    /// Bytes that are no HTTP.
    Garbage,
    /// A body that is shorter than announced, then the end.
    CutOff,
    /// Reads, and says nothing.
    Silent,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub head: String,
    pub body: Vec<u8>,
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Behaviour {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, String::new(), String::new())
    }
}

impl Receiver {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, behaviour: Arc::new(Mutex::new(behaviour)), told: Arc::default() };
        let served = receiver.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(socket).await });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/services/URLSECRET", self.address)
    }

    pub fn now(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    /// Waits until it was told something so often.
    pub async fn times(&self, count: usize) -> Vec<Told> {
        for _ in 0..600 {
            if self.told().len() >= count {
                return self.told();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("told {} times, and not {count}", self.told().len());
    }

    async fn serve(&self, mut socket: TcpStream) {
        let mut received = Vec::new();
        let mut chunk = [0; 8192];
        let end = loop {
            let Ok(count @ 1..) = socket.read(&mut chunk).await else { return };
            received.extend_from_slice(&chunk[..count]);
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let mut body = received[end + 4..].to_vec();
        let told = Told { head, body: Vec::new() };
        let length: usize = told.header("content-length").unwrap().parse().unwrap();
        while body.len() < length {
            let Ok(count @ 1..) = socket.read(&mut chunk).await else { return };
            body.extend_from_slice(&chunk[..count]);
        }
        self.told.lock().push(Told { body, ..told });
        let behaviour = self.behaviour.lock().clone();
        self.answer(&mut socket, behaviour).await;
    }

    async fn answer(&self, socket: &mut TcpStream, behaviour: Behaviour) {
        let text = match behaviour {
            Behaviour::Answer(status, headers, body) => {
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} Fine\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
                )
            }
            Behaviour::Endless => {
                let head = "HTTP/1.1 500 No\r\nconnection: close\r\n\r\n";
                let _ = socket.write_all(head.as_bytes()).await;
                while socket.write_all(&[b'x'; 8192]).await.is_ok() {}
                return;
            }
            Behaviour::Garbage => "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
            Behaviour::CutOff => "HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nshort".to_owned(),
            Behaviour::Silent => std::future::pending().await,
        };
        let _ = socket.write_all(text.as_bytes()).await;
    }
}

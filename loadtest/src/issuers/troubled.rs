//! The web server of an issuer in trouble.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Healthy,
    /// Connections are closed without an answer.
    Down,
    /// Every answer takes 30 s.
    Slow,
    /// The answer has 500 MB.
    Huge,
    /// Each answer has other keys.
    Rotating,
    /// The answer is not what it says.
    Lying,
}

/// A running issuer.
pub struct Troubled {
    pub address: SocketAddr,
    trouble: Arc<AtomicUsize>,
}

impl Trouble {
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Down, Self::Slow, Self::Huge, Self::Rotating, Self::Lying];

    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Down => "down",
            Self::Slow => "slow",
            Self::Huge => "huge",
            Self::Rotating => "rotating",
            Self::Lying => "lying",
        }
    }
}

impl Troubled {
    /// Serves these keys, while it is well.
    pub async fn start(keys: String) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let trouble = Arc::new(AtomicUsize::new(0));
        let now = trouble.clone();
        tokio::spawn(async move {
            for number in 0_usize.. {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let trouble = Trouble::ALL.into_iter().nth(now.load(Ordering::Relaxed));
                let keys = keys.clone();
                tokio::spawn(answer(socket, trouble.unwrap_or(Trouble::Healthy), keys, number));
            }
        });
        Ok(Self { address, trouble })
    }

    pub fn turn_to(&self, trouble: Trouble) {
        let place = Trouble::ALL.iter().position(|known| *known == trouble).unwrap_or(0);
        self.trouble.store(place, Ordering::Relaxed);
    }
}

async fn answer(mut socket: TcpStream, trouble: Trouble, keys: String, number: usize) -> Result<()> {
    let mut request = [0; 4_096];
    let _ = socket.read(&mut request).await?;
    let whole = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    match trouble {
        Trouble::Healthy => socket.write_all(whole(&keys).as_bytes()).await?,
        Trouble::Down => {}
        Trouble::Slow => tokio::time::sleep(Duration::from_secs(30)).await,
        Trouble::Huge => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n").await?;
            for _ in 0..500 {
                socket.write_all(&[b' '; 1_000_000]).await?;
            }
        }
        Trouble::Rotating => {
            let rotated = keys.replace("\"kid\":\"", &format!("\"kid\":\"{number}-"));
            socket.write_all(whole(&rotated).as_bytes()).await?;
        }
        Trouble::Lying => {
            socket.write_all(whole("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}").as_bytes()).await?
        }
    }
    Ok(())
}

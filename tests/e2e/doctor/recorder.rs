//! An upstream that keeps what arrives, byte by byte, and says what a test wrote.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every connection once the head of a request is there; stops with the runtime.
pub struct Recorder {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    pub async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), answer.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                        match socket.read_buf(&mut head).await {
                            Ok(1..) => {}
                            _ => return,
                        }
                    }
                    kept.lock().push(String::from_utf8_lossy(&head).to_ascii_lowercase());
                    socket.write_all(answer.as_bytes()).await.ok();
                    // Open until the other side closes it.
                    socket.read_to_end(&mut head).await.ok();
                });
            }
        });
        Self { address, heads }
    }

    /// Says 200 with a short text.
    pub async fn ok() -> Self {
        Self::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()).await
    }

    /// How the placeholder of the upstream's port is filled in.
    pub fn port(&self) -> String {
        format!("port_value: {}", self.address.port())
    }

    /// The heads of all requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

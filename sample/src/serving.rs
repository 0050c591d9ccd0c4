//! An HTTP server that lives as long as its handle.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Serves until dropped. Then nothing is accepted any more, idle connections close at once, and the others after the
/// answer that they are writing.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Binds `address` (port 0: any free one) and serves `router` on it. `name` is for the error message.
    pub async fn start(name: &str, address: SocketAddr, router: Router) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{name} can't listen on {address}; is the port in use?"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async move {
            // Sent or dropped: both mean stop.
            stopped.await.ok();
        });
        let task = tokio::spawn(async move {
            // `axum::serve` answers errors of single connections itself and returns only after the signal.
            server.await.ok();
        });
        Ok(Self { address, stop: Some(stop), task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, and waits until the port is free and all answers are written.
    pub async fn stop(mut self) {
        self.stop.take();
        (&mut self.task).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    #[tokio::test]
    async fn serves_until_stopped() {
        let router = Router::new().route("/", get(async || "here"));
        let serving = Serving::start("test", ([127, 0, 0, 1], 0).into(), router).await.unwrap();
        let url = format!("http://{}/", serving.address());
        // Connections are not kept, so that the second request asks the listener.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "here");

        serving.stop().await;
        assert!(client.get(&url).send().await.unwrap_err().is_connect());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let serving = Serving::start("first", ([127, 0, 0, 1], 0).into(), Router::new()).await.unwrap();
        let error = Serving::start("second", serving.address(), Router::new()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("second can't listen on {}; is the port in use?", serving.address())
        );
    }
}

//! A TCP connection by a detour that can be cut without either side being told, as a firewall does it that drops packets.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

use crate::address;

/// Forwards every connection to one target, unless it is cut.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Wire {
    /// A detour to `target`. Connections are served for as long as the runtime lives.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address::ANY).await?;
        let address = listener.local_addr()?;
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *is_cut.borrow() {
                    // The target never hears of it, and whoever connects gets no answer.
                    tokio::spawn(swallow(near));
                    continue;
                }
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, is_cut.clone()));
                tokio::spawn(carry(far_in, near_out, is_cut.clone()));
            }
        });
        Ok(Self { address, is_cut: cut })
    }

    /// Where to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes. Connections that carry something meanwhile never will again.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// New connections work again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn swallow(mut near: TcpStream) {
    let _ = tokio::io::copy(&mut near, &mut tokio::io::sink()).await;
}

/// What is under way when the wire is cut is lost, as is all that follows on this connection.
async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, is_cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if *is_cut.borrow() {
            return std::future::pending().await;
        }
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn carries_until_it_is_cut_and_new_connections_once_it_is_mended() {
        let target = TcpListener::bind(address::ANY).await.unwrap();
        let wire = Wire::to(target.local_addr().unwrap()).await.unwrap();
        let open = async || {
            let near = TcpStream::connect(wire.address()).await.unwrap();
            (near, target.accept().await.unwrap().0)
        };
        let (mut near, mut far) = open().await;
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');

        wire.cut();
        near.write_all(b"b").await.unwrap();
        tokio::time::timeout(Duration::from_millis(200), far.read_u8()).await.unwrap_err();
        wire.mend();
        let (mut near, mut far) = open().await;
        far.write_all(b"c").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'c');
    }
}

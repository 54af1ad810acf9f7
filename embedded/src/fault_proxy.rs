//! A TCP proxy that can stop forwarding without closing anything, like a failed firewall or a
//! paused virtual machine: both ends see open connections that are silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy on a port of 127.0.0.1. Dropping it stops it from accepting connections.
pub struct FaultProxy {
    address: SocketAddr,
    /// The number of freezes. Connections that are older than the latest freeze are silent.
    freezes: Arc<watch::Sender<u64>>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy that forwards to `upstream`, such as `127.0.0.1:5432`.
    pub async fn start(upstream: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let freezes = Arc::new(watch::Sender::new(0));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, frozen) = (Arc::clone(&accepted), Arc::clone(&freezes));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Subscribed before the connection counts as accepted: a freeze that follows
                // silences it, however late its task begins.
                let freezes = frozen.subscribe();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, upstream.clone(), freezes));
            }
        });
        Ok(Self { address, freezes, accepted, accepting })
    }

    /// Returns the address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections that the proxy has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Silences all present connections. New ones are forwarded.
    pub fn freeze(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, upstream: String, mut freezes: watch::Receiver<u64>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_out, mut client_in) = client.into_split();
    let (mut server_out, mut server_in) = server.into_split();
    tokio::select! {
        biased; // bytes that arrive after a freeze are never forwarded
        Ok(()) = freezes.changed() => std::future::pending().await,
        () = copy(&mut client_out, &mut server_in) => {}
        () = copy(&mut server_out, &mut client_in) => {}
    }
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// On the single thread of this test, the freeze precedes the first step of the forwarding task.
    #[tokio::test]
    async fn a_freeze_right_after_the_accept_silences_the_connection() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let freezes = Arc::new(watch::Sender::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let to = upstream.local_addr().unwrap().to_string();
        let forwarding = tokio::spawn(forward(accepted, to, freezes.subscribe()));
        freezes.send_modify(|freezes| *freezes += 1);
        let (mut server, _) = upstream.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut byte = [0];
        let heard = tokio::time::timeout(Duration::from_secs(2), server.read(&mut byte)).await;
        assert!(heard.is_err(), "a byte was forwarded: {heard:?}");
        forwarding.abort();
    }
}

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
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, upstream.clone(), frozen.subscribe()));
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
    freezes.mark_unchanged();
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_out, mut client_in) = client.into_split();
    let (mut server_out, mut server_in) = server.into_split();
    tokio::select! {
        () = copy(&mut client_out, &mut server_in) => {}
        () = copy(&mut server_out, &mut client_in) => {}
        Ok(()) = freezes.changed() => std::future::pending().await,
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

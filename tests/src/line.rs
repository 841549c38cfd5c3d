//! A line between two programs that can be cut: silently, as a broken network does, or with a word.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Nothing passes, and nobody is told.
    silent: bool,
    /// Connections made before this number are gone.
    era: u64,
}

/// Carries TCP connections to an address.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Line {
    /// A line to `far`, whole.
    pub async fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::new(watch::Sender::new(State::default()));
        let of_line = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, far, of_line.subscribe()));
            }
        });
        Self { address, state }
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes in either direction, while every connection seems to stand.
    pub fn fall_silent(&self) {
        self.state.send_modify(|state| state.silent = true);
    }

    /// Breaks the connections there are, and carries new ones.
    pub fn renew(&self) {
        self.state.send_modify(|state| {
            state.silent = false;
            state.era += 1;
        });
    }
}

async fn carry(near: TcpStream, far: SocketAddr, mut state: watch::Receiver<State>) {
    let born = state.borrow_and_update().era;
    let mut ended = state.clone();
    let carried = async {
        let far = TcpStream::connect(far).await?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::try_join!(
            pass(near_read, far_write, state.clone()),
            pass(far_read, near_write, state)
        )
    };
    tokio::select! {
        _ = carried => {}
        _ = ended.wait_for(|state| state.era != born) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        // What was under way when the line fell silent is lost with the connection.
        if state.wait_for(|state| !state.silent).await.is_err() || count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

//! What a child process printed, line by line, for waiting on a line and for failure messages.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::watch,
};

use crate::eventually::PATIENCE;

/// The lines a child process printed so far. Clones share them.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: Arc<watch::Sender<usize>>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            lines: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Log {
    /// Takes in lines of a pipe until it ends.
    pub fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut all = log.lines.lock().expect("no holder of this lock panics");
                all.push(line);
                log.count.send_replace(all.len());
            }
        });
    }

    /// Everything so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines
            .lock()
            .expect("no holder of this lock panics")
            .join("\n")
    }

    /// The last `count` lines.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines.lock().expect("no holder of this lock panics");
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The first line, past or future, of which `pick` makes something. `None` after [`PATIENCE`].
    pub async fn find<T>(&self, mut pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut count = self.count.subscribe();
        let mut seen = 0;
        tokio::time::timeout(PATIENCE, async {
            loop {
                {
                    let lines = self.lines.lock().expect("no holder of this lock panics");
                    while seen < lines.len() {
                        seen += 1;
                        if let Some(found) = pick(&lines[seen - 1]) {
                            return found;
                        }
                    }
                }
                // The sender lives in `self`, so this cannot fail.
                let _ = count.wait_for(|count| *count > seen).await;
            }
        })
        .await
        .ok()
    }
}

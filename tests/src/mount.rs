//! Small file systems of our own, for disks that are full or cannot be written.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A tmpfs of a fixed size; dropping it unmounts it. Needs root.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one of so many bytes (`4m`) at `path`, which is made.
    pub async fn mount(path: &Path, size: &str) -> Self {
        tokio::fs::create_dir_all(path)
            .await
            .expect("a place to mount at");
        mount(
            &["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"],
            path,
        )
        .await;
        Self {
            path: path.to_owned(),
        }
    }

    /// From now on nobody can write there, root included.
    pub async fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], &self.path).await;
    }

    /// Changes its size.
    pub async fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], &self.path).await;
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there ends by himself.
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
    }
}

async fn mount(arguments: &[&str], path: &Path) {
    let output = Command::new("mount")
        .args(arguments)
        .arg(path)
        .output()
        .await
        .expect("mount(8)");
    assert!(
        output.status.success(),
        "mount {arguments:?} {}: {} (these tests need root)",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

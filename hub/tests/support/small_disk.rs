//! A test inside a mount namespace of its own, on a file system of a few megabytes that can
//! really be filled. Needs `unshare` and either root or user namespaces; where a machine has
//! neither, `GANDER_TEST_NO_NAMESPACES=1` leaves such tests out.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const DISK: &str = "GANDER_TEST_SMALL_DISK";
const MOUNT_AND_RUN: &str = r#"mount -t tmpfs -o size=4m gander-test "$1" && shift && exec "$@""#;

/// Runs an ignored test of this program inside.
pub(crate) fn run(test: &str) {
    if std::env::var_os("GANDER_TEST_NO_NAMESPACES").is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let output = Command::new("unshare")
        .args(if is_root {
            &["--mount"][..]
        } else {
            &["--user", "--map-root-user", "--mount"][..]
        })
        .args(["sh", "-c", MOUNT_AND_RUN, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DISK, directory.path())
        .output()
        .expect("unshare(1) of util-linux must be installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "inside a small disk (GANDER_TEST_NO_NAMESPACES=1 leaves this test out): {said}\n{complained}"
    );
}

/// The small disk, inside.
pub(crate) fn path() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

/// Fills the disk to the last byte. Returns the file to remove to make room again.
pub(crate) fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    let block = [0_u8; 4096];
    while file.write_all(&block).is_ok() {}
    path
}

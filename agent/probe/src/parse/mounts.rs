//! Which mounted filesystems count, and how full they are: lines of `/proc/mounts`
//! (`device mount-point type`) joined with those of `stat -f`.
//!
//! What counts: filesystems on storage of the machine's own, each device once. Left out are
//! - memory and pseudo filesystems (tmpfs, devtmpfs, proc, cgroup…): nothing is lost when they fill,
//! - network filesystems (nfs, cifs, ceph, sshfs…): they are another machine's, and touching a dead
//!   one hangs,
//! - read-only images (squashfs of snaps, iso9660, erofs): always full,
//! - overlays of containers: the space is that of the filesystem beneath. At `/` any type counts
//!   that is not one of the former two: in a container that is all there is.

use std::collections::{HashMap, HashSet};

use super::{Listed, ParseError, label, number};
use crate::snapshot::Filesystem;

/// Mounts after the first 256 are left out.
const MAX_MOUNTS: usize = 256;

/// Types of filesystems on local storage. The script has the same list.
const LOCAL: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "reiserfs", "nilfs2", "ocfs2",
    "gfs2", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "ufs", "hfsplus", "ubifs", "jffs2",
    "simfs", "vzfs",
];

/// Types that do not even count at `/`.
const NEVER: &[&str] = &[
    "cifs",
    "ceph",
    "glusterfs",
    "lustre",
    "9p",
    "squashfs",
    "iso9660",
    "erofs",
    "rootfs",
];

/// One line of the mount table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The device or source.
    pub device: String,
    /// Where it is mounted, escapes resolved.
    pub mount_point: String,
    /// `ext4`.
    pub kind: String,
}

/// Whether a filesystem of this type, mounted there, counts (see the module).
#[must_use]
pub fn counts(kind: &str, mount_point: &str) -> bool {
    if LOCAL.contains(&kind) {
        return true;
    }
    let never = NEVER.contains(&kind)
        || ["nfs", "smb", "fuse."]
            .iter()
            .any(|prefix| kind.starts_with(prefix));
    mount_point == "/" && !never
}

/// Parses lines of the mount table, those that count, each device once. Where two are mounted at
/// one place the later one hides the earlier.
#[must_use]
pub fn parse(text: &str) -> Listed<Mount> {
    let mut listed = Listed::<Mount>::new();
    let mut devices = HashSet::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(mount_point), Some(kind)) = (words.next(), words.next(), words.next()) else {
            if !line.trim().is_empty() {
                listed.note(ParseError::at("not a mount", line));
            }
            continue;
        };
        let mount_point = unescape(mount_point);
        if !counts(kind, &mount_point) {
            continue;
        }
        let hidden = listed
            .items
            .iter()
            .position(|mount| mount.mount_point == mount_point);
        if let Some(hidden) = hidden {
            listed.items.remove(hidden);
        }
        if device.starts_with('/') && !devices.insert(device.to_owned()) {
            continue;
        }
        listed.add(
            MAX_MOUNTS,
            Ok(Mount {
                device: unescape(device),
                mount_point,
                kind: label(kind),
            }),
        );
    }
    listed
}

/// Resolves the octal escapes of the mount table (space, tab, newline, backslash, `#`).
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        if let Some(octal) = octal {
            out.push(octal);
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    label(&String::from_utf8_lossy(&out))
}

/// Joins mounts with lines `block-size blocks free available inodes inodes-free mount-point` of
/// `stat -f`. A mount without such a line could not be looked at and is left out.
#[must_use]
pub fn join_statfs(mounts: &[Mount], text: &str) -> Listed<Filesystem> {
    let by_place: HashMap<&str, &Mount> = mounts
        .iter()
        .map(|mount| (mount.mount_point.as_str(), mount))
        .collect();
    let mut listed = Listed::new();
    for line in text.lines() {
        let mut parts = line.trim_start().splitn(7, ' ');
        let mut next = || parts.next().and_then(signed);
        let numbers = (next(), next(), next(), next(), next(), next());
        let (Some(size), Some(blocks), Some(free), Some(available), Some(inodes), Some(inodes_free)) =
            numbers
        else {
            listed.note(ParseError::at("not six numbers", line));
            continue;
        };
        let place = parts.next().map(label).unwrap_or_default();
        let Some(mount) = by_place.get(place.as_str()) else {
            continue;
        };
        // ZFS counts in units of 512 bytes; BusyBox' stat prints its record size instead.
        let unit = if mount.kind == "zfs" { 512 } else { size };
        if blocks == 0 || unit == 0 {
            continue;
        }
        let space = Space {
            total_bytes: blocks.saturating_mul(unit),
            used_bytes: blocks.saturating_sub(free).saturating_mul(unit),
            available_bytes: available.saturating_mul(unit),
        };
        let inodes = (inodes > 0).then(|| (inodes, inodes.saturating_sub(inodes_free)));
        listed.add(MAX_MOUNTS, Ok(filesystem(mount, &space, inodes)));
    }
    listed
}

/// `stat` may print the available blocks of an overdrawn filesystem as a negative number.
fn signed(word: &str) -> Option<u64> {
    if word.strip_prefix('-').is_some_and(|rest| number(rest).is_some()) {
        return Some(0);
    }
    // The same as an unsigned one: more than any filesystem has.
    number(word).map(|value| if value > i64::MAX as u64 { 0 } else { value })
}

/// Bytes of a filesystem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Size.
    pub total_bytes: u64,
    /// Used.
    pub used_bytes: u64,
    /// What an ordinary user may still write.
    pub available_bytes: u64,
}

impl Space {
    /// `used / (used + available)` in tenths of a percent, rounded up as `df` does: what root
    /// alone may use counts on neither side.
    #[must_use]
    pub fn usage_permille(&self) -> u16 {
        let whole = u128::from(self.used_bytes) + u128::from(self.available_bytes);
        if whole == 0 {
            return 0;
        }
        let permille = (u128::from(self.used_bytes) * 1000).div_ceil(whole);
        u16::try_from(permille).unwrap_or(1000)
    }
}

/// A filesystem of the mount table with its figures; `inodes` are all and the used ones.
#[must_use]
pub fn filesystem(mount: &Mount, space: &Space, inodes: Option<(u64, u64)>) -> Filesystem {
    Filesystem {
        mount_point: mount.mount_point.clone(),
        device: mount.device.clone(),
        kind: Some(mount.kind.clone()).filter(|kind| !kind.is_empty()),
        total_bytes: space.total_bytes,
        used_bytes: space.used_bytes,
        available_bytes: space.available_bytes,
        usage_permille: space.usage_permille(),
        inodes_total: inodes.map(|(total, _)| total),
        inodes_used: inodes.map(|(_, used)| used),
    }
}

//! A disk that can lose power: a directory (FUSE) whose files are kept in memory twice, as programs
//! see them and as a disk would have them that wrote nothing without being told (`fsync`).
//!
//! [`PowerDisk::cut`] takes the power away: of what was written to a file after its last `fsync`,
//! nothing survives, or all, or a beginning that ends in the middle of a sector run, or sectors here
//! and there, in no order: a disk may have done any of it. Names are durable at once. Needs root and
//! `/dev/fuse`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::dice::Dice;

/// The smallest piece a disk writes whole.
const SECTOR: usize = 512;
/// The kernel may believe what it was told of names and lengths for so long: it is told by nobody
/// else.
const TTL: Duration = Duration::from_secs(60);

/// The disk, plugged in or not.
#[derive(Debug)]
pub struct PowerDisk {
    disk: Shared,
    mount_point: PathBuf,
    session: Option<BackgroundSession>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, File>,
    last_inode: u64,
    syncs: u64,
}

#[derive(Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What makes `seen` of `durable`, in the order it was done.
    unsynced: Vec<Change>,
    mode: u16,
}

#[derive(Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

/// What a power cut left of the writes after the last `fsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// A beginning; the last write torn.
    Beginning,
    /// Sectors here and there.
    Scattered,
}

impl Survivors {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::None, Self::All, Self::Beginning, Self::Scattered];
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn lose_power(&mut self, survivors: Survivors, dice: &mut Dice) {
        let changes = std::mem::take(&mut self.unsynced);
        let count = changes.len();
        let cut_at = dice.below(count + 1);
        let percent = 10 + dice.below(81);
        for (number, change) in changes.into_iter().enumerate() {
            match survivors {
                Survivors::None => break,
                Survivors::All => change.apply(&mut self.durable),
                Survivors::Beginning if number < cut_at => change.apply(&mut self.durable),
                Survivors::Beginning => {
                    if let Change::Bytes(offset, mut bytes) = change {
                        // A sector is whole or not at all; a write is some of them.
                        let sectors = bytes.len().div_ceil(SECTOR);
                        bytes.truncate(dice.below(sectors + 1) * SECTOR);
                        Change::Bytes(offset, bytes).apply(&mut self.durable);
                    }
                    break;
                }
                Survivors::Scattered => match change {
                    Change::Length(_) if dice.below(100) >= percent => {}
                    Change::Length(length) => Change::Length(length).apply(&mut self.durable),
                    Change::Bytes(offset, bytes) => {
                        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                            if dice.below(100) < percent {
                                Change::Bytes(offset + index * SECTOR, sector.to_vec())
                                    .apply(&mut self.durable);
                            }
                        }
                    }
                },
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Bytes(_, bytes) if bytes.is_empty() => {}
            Self::Bytes(offset, bytes) => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl PowerDisk {
    /// An empty disk, mounted at an empty directory.
    ///
    /// # Errors
    /// It cannot be mounted: not root, or no `/dev/fuse`.
    pub fn mount(mount_point: &Path) -> io::Result<Self> {
        let mut disk = Self {
            disk: Shared(Arc::default()),
            mount_point: mount_point.to_owned(),
            session: None,
        };
        disk.disk.lock().last_inode = INodeNo::ROOT.0;
        disk.plug_in()?;
        Ok(disk)
    }

    /// Mounts it again after a cut, with what survived.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn plug_in(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power-disk".to_owned()), MountOption::NoAtime];
        let session = fuser::spawn_mount2(self.disk.clone(), &self.mount_point, &config)?;
        self.session = Some(session);
        Ok(())
    }

    /// Takes the power away. Whoever wrote to it must be dead, so that nothing holds a file open.
    ///
    /// # Errors
    /// It cannot be unmounted.
    pub fn cut(&mut self, survivors: Survivors, dice: &mut Dice) -> io::Result<()> {
        // What the kernel still holds for a memory map is written at the end, and is lost or not
        // like everything else.
        if let Some(session) = self.session.take() {
            session.umount_and_join()?;
        }
        let mut disk = self.disk.lock();
        let Disk { names, files, .. } = &mut *disk;
        // Nobody has a file open any more: those without a name are gone.
        files.retain(|inode, _| names.values().any(|named| named == inode));
        for file in files.values_mut() {
            file.lose_power(survivors, dice);
        }
        Ok(())
    }

    /// Copies what is durable into an ordinary directory.
    ///
    /// # Errors
    /// A file cannot be written there.
    pub fn copy_durable(&self, to: &Path) -> io::Result<()> {
        let disk = self.disk.lock();
        for (name, inode) in &disk.names {
            if let Some(file) = disk.files.get(inode) {
                let path = to.join(name);
                std::fs::write(&path, &file.durable)?;
                std::fs::set_permissions(&path, Permissions::from_mode(file.mode.into()))?;
            }
        }
        Ok(())
    }

    /// How often a file was synced so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk.lock().syncs
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn by_name(&self, name: &OsStr) -> Option<u64> {
        self.names.get(name.to_str()?).copied()
    }

    fn attributes(&self, inode: u64) -> Option<FileAttr> {
        let (kind, perm, size) = if inode == INodeNo::ROOT.0 {
            (FileType::Directory, 0o755, 0)
        } else {
            let file = self.files.get(&inode)?;
            (FileType::RegularFile, file.mode, file.seen.len() as u64)
        };
        let time = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Shared {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.lock();
        match disk.by_name(name).and_then(|inode| disk.attributes(inode)) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.lock().attributes(inode.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.lock();
        if let Some(file) = disk.files.get_mut(&inode.0) {
            if let Some(mode) = mode.and_then(|mode| u16::try_from(mode & 0o7777).ok()) {
                file.mode = mode;
            }
            if let Some(size) = size.and_then(|size| usize::try_from(size).ok()) {
                file.change(Change::Length(size));
            }
        }
        match disk.attributes(inode.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let Some(name) = name.to_str() else {
            return reply.error(Errno::EINVAL);
        };
        let mut disk = self.lock();
        disk.last_inode += 1;
        let inode = disk.last_inode;
        let file = File {
            mode: u16::try_from(mode & !umask & 0o7777).unwrap_or(0o600),
            ..File::default()
        };
        disk.files.insert(inode, file);
        disk.names.insert(name.to_owned(), inode);
        match disk.attributes(inode) {
            Some(attributes) => reply.created(
                &TTL,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            None => reply.error(Errno::EIO),
        }
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = name
            .to_str()
            .is_some_and(|name| self.lock().names.remove(name).is_some());
        if removed {
            reply.ok();
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.lock();
        let (Some(inode), Some(name), Some(new_name)) =
            (disk.by_name(name), name.to_str(), new_name.to_str())
        else {
            return reply.error(Errno::ENOENT);
        };
        disk.names.remove(name);
        disk.names.insert(new_name.to_owned(), inode);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.lock();
        let Some(file) = disk.files.get(&inode.0) else {
            return reply.error(Errno::ENOENT);
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.seen.len());
        let end = start.saturating_add(size as usize).min(file.seen.len());
        reply.data(&file.seen[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.lock();
        let (Some(file), Ok(offset)) = (disk.files.get_mut(&inode.0), usize::try_from(offset)) else {
            return reply.error(Errno::ENOENT);
        };
        file.change(Change::Bytes(offset, data.to_vec()));
        reply.written(u32::try_from(data.len()).unwrap_or(0));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A close is no sync.
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut disk = self.lock();
        disk.syncs += 1;
        if let Some(file) = disk.files.get_mut(&inode.0) {
            file.sync();
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.lock();
        let own = [(".", INodeNo::ROOT.0), ("..", INodeNo::ROOT.0)];
        let entries = own
            .into_iter()
            .chain(disk.names.iter().map(|(name, inode)| (name.as_str(), *inode)));
        for (place, (name, inode)) in (1..)
            .zip(entries)
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        {
            let kind = match inode == INodeNo::ROOT.0 {
                true => FileType::Directory,
                false => FileType::RegularFile,
            };
            if reply.add(INodeNo(inode), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // Sixteen gigabytes free.
        reply.statfs(1 << 22, 1 << 22, 1 << 22, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}

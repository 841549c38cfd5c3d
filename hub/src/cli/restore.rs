//! `restore`: takes a backup for the database. Refuses while a hub runs on it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{actor, note, print};
use crate::{
    backup,
    config::Config,
    model::Timestamp,
    store::{self, DatabaseLock, KeyFit, MasterKey},
};

pub(super) const EXAMPLES: &str = "Examples:
  systemctl stop gander-hub
  gander-hub restore /mnt/usb/gander-20261122T190000Z.db
  gander-hub restore gander-20261122T190000Z.db        from the directory of the scheduled backups
  gander-hub restore latest                            the newest one there
  systemctl start gander-hub

The backup is checked before anything changes. The database that was there stays beside the new one,
as gander.db.before-restore-TIME.";

#[derive(Args)]
pub(super) struct Options {
    /// A backup: its path, its name in the directory of backups, or `latest`
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let source = find(config, &options.file)?;
    let database = &config.database_path;
    let lock = DatabaseLock::take(database)?;
    check_hash(&source)?;
    let key_path = config.master_key_path();
    let key = MasterKey::load_existing(&key_path)?;
    let restored = store::restore(&source, database, key.as_ref(), &actor(), Timestamp::now(), &lock).await?;
    let report = &restored.report;
    for problem in &report.problems {
        note(&format!("the backup has damaged values: {}", problem.what));
    }
    match report.key {
        KeyFit::NotNeeded | KeyFit::Fits => {}
        KeyFit::Other => note(&format!(
            "WARNING: the master key {} is not the one this backup's secrets (SSH passwords and keys) were \
             sealed with. The hub will not start: put the key file back that belongs to the backup, or name it \
             with GANDER_MASTER_KEY_FILE",
            key_path.display()
        )),
        KeyFit::NoKey => note(&format!(
            "WARNING: there is no master key {}, and this backup's secrets (SSH passwords and keys) open only \
             with the one they were sealed with. The hub will not start: put that key file there, or name it with \
             GANDER_MASTER_KEY_FILE",
            key_path.display()
        )),
    }
    let newest = report.newest.map_or_else(
        || "no values".to_owned(),
        |newest| format!("values up to {newest}"),
    );
    print(&format!(
        "{} is now {}: {} servers, {newest}",
        database.display(),
        source.display(),
        report.servers
    ));
    if let Some(kept) = &restored.kept {
        print(&format!(
            "what was there before is {}; remove it when all is well",
            kept.display()
        ));
    }
    Ok(())
}

/// The backup a person means.
fn find(config: &Config, named: &Path) -> anyhow::Result<PathBuf> {
    let directory = config.backup_directory();
    if named == Path::new("latest") {
        let backups = backup::list_directory(&directory)
            .with_context(|| format!("{} cannot be read", directory.display()))?;
        let newest = backups
            .first()
            .with_context(|| format!("there is no backup in {}", directory.display()))?;
        return Ok(directory.join(&newest.name));
    }
    if named.is_dir() {
        anyhow::bail!("{} is a directory: name a file in it", named.display());
    }
    if named.exists() {
        return Ok(named.to_owned());
    }
    let there = directory.join(named);
    if named.components().count() == 1 && there.exists() {
        return Ok(there);
    }
    anyhow::bail!(
        "there is no file {}, and none of that name in {}",
        named.display(),
        directory.display()
    );
}

/// A backup that changed since it was verified is refused before anything is read out of it.
fn check_hash(source: &Path) -> anyhow::Result<()> {
    let Some(noted) = backup::noted_sha256(source) else {
        return Ok(());
    };
    let (_, found) = backup::hash(source).with_context(|| format!("{} cannot be read", source.display()))?;
    if !noted.eq_ignore_ascii_case(&found) {
        anyhow::bail!(
            "{0} is not what it was when it was verified: its SHA-256 is {found}, and {0}.sha256 says {noted}. Take \
             another backup, or remove that file to go by the check of the database alone",
            source.display()
        );
    }
    Ok(())
}

//! `restore`: takes a backup for the database. Refuses while a hub runs on it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{actor, note, print};
use crate::{
    app,
    backup::{self, Bucket},
    config::Config,
    model::Timestamp,
    store::{self, Carried, DatabaseLock, KeyFit, MasterKey},
};

pub(super) const EXAMPLES: &str = "Examples:
  systemctl stop gander-hub
  gander-hub restore /mnt/usb/gander-20261122T190000Z.db
  gander-hub restore gander-20261122T190000Z.db        from the directory of the scheduled backups
  gander-hub restore latest                            the newest one there
  gander-hub restore s3://BUCKET/gander/latest         the newest in a bucket of the store in backup.s3_endpoint
  systemctl start gander-hub

A backup in a bucket is fetched into the directory of backups first. The backup is checked before
anything changes. The database that was there stays beside the new one, as gander.db.before-restore-TIME;
what was revoked or removed in it since the backup (agents, tokens, accounts, passwords) stays so.";

#[derive(Args)]
pub(super) struct Options {
    /// A backup: its path, its name in the directory of backups, `latest`, or s3://BUCKET/NAME
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let database = &config.database_path;
    let lock = DatabaseLock::take(database)?;
    let source = if options.file.as_os_str().as_encoded_bytes().starts_with(b"s3://") {
        let (bucket, name) = super::bucket_at(config, &options.file)?;
        let fetched = Bucket::new(&bucket)?
            .fetch(&name, &config.backup_directory())
            .await?;
        note(&format!("{bucket}{name} was fetched to {}", fetched.display()));
        fetched
    } else {
        find(config, &options.file)?
    };
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
    tell_revocations(&restored.carried);
    if let Some(kept) = &restored.kept {
        print(&format!(
            "what was there before is {}; remove it when all is well",
            kept.display()
        ));
    }
    Ok(())
}

/// What was revoked since, and what must be revoked again.
fn tell_revocations(carried: &Carried) {
    for done in &carried.done {
        print(done);
    }
    if let Some(why) = &carried.missed {
        let since = carried
            .known_to
            .map_or_else(|| "the backup".to_owned(), |moment| moment.to_string());
        note(&format!(
            "WARNING: agents, tokens and accounts that were revoked or removed and passwords that were changed after \
             {since} are as they were then, for the database that was here could not be asked: {why}. Revoke them \
             again. Everybody has to log in again"
        ));
    }
}

/// The backup a person means.
fn find(config: &Config, named: &Path) -> anyhow::Result<PathBuf> {
    let directory = config.backup_directory();
    if named == Path::new("latest") {
        let backups = backup::list_directory(&directory)
            .with_context(|| format!("{} cannot be read", directory.display()))?;
        let newest = backups.first().with_context(|| {
            let bucket = app::backup_config(config).bucket;
            let elsewhere = bucket.map_or_else(String::new, |bucket| format!(": try {bucket}latest"));
            format!("there is no backup in {}{elsewhere}", directory.display())
        })?;
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

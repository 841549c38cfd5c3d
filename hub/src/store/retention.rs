//! How long each tier is kept: rules from the configuration and from the page, and keeping them.
//!
//! The configuration says what holds while nobody has said anything else on the page; what the page
//! says is in the database and wins. A tag may have rules of its own: a server with several such
//! tags is kept as long as the longest of them wants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fold::FoldReport;
use super::open::put_meta;
use super::rollup::STEPS;
use super::words::{from_json, to_json};
use super::{DeleteRange, Result, Store, erase};
use crate::model::{Actor, Event, EventKind, ServerId, Timestamp};

const META: &str = "retention";
/// What is older than its age by less than this part of it stays: a block is cut now and then, not
/// every time a sample grows too old.
const SLACK: i64 = 50;

/// How long the tiers are kept, in seconds; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// Single samples.
    pub samples: Option<u64>,
    /// Minimum, mean and maximum of every quarter of an hour.
    pub quarter_hours: Option<u64>,
    /// Minimum, mean and maximum of every three hours.
    pub three_hours: Option<u64>,
}

/// Who is kept how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// What holds for servers without a tag that has ages of its own.
    pub global: Ages,
    /// Whether `global` comes from the configuration, for want of a word from the page.
    pub from_config: bool,
    /// Ages of servers with a tag.
    pub tags: BTreeMap<String, Ages>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    global: Option<Ages>,
    tags: BTreeMap<String, Ages>,
}

impl Default for Ages {
    /// A month of samples, half a year of quarters of an hour, five years of three hours.
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            samples: Some(30 * DAY),
            quarter_hours: Some(180 * DAY),
            three_hours: Some(5 * 365 * DAY),
        }
    }
}

impl Ages {
    /// The age of every tier in milliseconds, samples first. A coarser tier is kept at least as long
    /// as a finer one: a gap in the middle would be of no use.
    pub(super) fn by_tier(&self) -> [Option<i64>; 3] {
        let longest = |ages: &[Option<u64>]| {
            let ages: Option<Vec<u64>> = ages.iter().copied().collect();
            ages.and_then(|ages| ages.into_iter().max())
                .map(|age| i64::try_from(age.saturating_mul(1_000)).unwrap_or(i64::MAX))
        };
        let all = [self.samples, self.quarter_hours, self.three_hours];
        [longest(&all[..1]), longest(&all[..2]), longest(&all)]
    }

    fn longest(self, other: Self) -> Self {
        let longer = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
        Self {
            samples: longer(self.samples, other.samples),
            quarter_hours: longer(self.quarter_hours, other.quarter_hours),
            three_hours: longer(self.three_hours, other.three_hours),
        }
    }
}

impl Retention {
    /// What holds for a server with these tags.
    #[must_use]
    pub fn of(&self, tags: &[String]) -> Ages {
        let own = tags.iter().filter_map(|tag| self.tags.get(tag).copied());
        own.reduce(Ages::longest).unwrap_or(self.global)
    }
}

impl Store {
    /// What the configuration says: it holds while the page has said nothing else.
    pub fn configure_retention(&self, ages: Ages) {
        *self.configured_ages() = ages;
    }

    fn configured_ages(&self) -> std::sync::MutexGuard<'_, Ages> {
        self.inner
            .configured_ages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The rules in force.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn retention(&self) -> Result<Retention> {
        let stored = self.stored_retention().await?;
        Ok(Retention {
            global: stored.global.unwrap_or(*self.configured_ages()),
            from_config: stored.global.is_none(),
            tags: stored.tags,
        })
    }

    async fn stored_retention(&self) -> Result<Stored> {
        match self.get_meta(META).await? {
            Some(text) => from_json(&text),
            None => Ok(Stored::default()),
        }
    }

    /// Sets the ages of servers with a tag, or of all others; `None` goes back to what holds without.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn set_retention(
        &self,
        tag: Option<&str>,
        ages: Option<Ages>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<()> {
        let mut stored = self.stored_retention().await?;
        match (tag, ages) {
            (None, ages) => stored.global = ages,
            (Some(tag), Some(ages)) => drop(stored.tags.insert(tag.to_owned(), ages)),
            (Some(tag), None) => drop(stored.tags.remove(tag)),
        }
        let event = Event {
            at: now,
            kind: EventKind::RetentionChanged,
            server_id: None,
            actor: actor.0.clone(),
            details: serde_json::json!({ "tag": tag, "ages": ages }),
        };
        let mut write = self.write().await?;
        let connection = write.connection()?;
        put_meta(connection, META, Some(&to_json(&stored)?)).await?;
        super::events::insert_event(connection, &event).await?;
        write.commit().await
    }

    /// Deletes what is older than the rules allow, of every tier, after what is to stay longer in a
    /// roll-up has entered it; finishes what a deletion cut short left behind, and gives space
    /// back. Answers how many samples there were.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn retain(&self, now: Timestamp) -> Result<u64> {
        let rules = self.retention().await?;
        self.retain_by(&rules, now, SLACK).await
    }

    pub(super) async fn retain_by(&self, rules: &Retention, now: Timestamp, slack: i64) -> Result<u64> {
        self.sweep_removed().await?;
        let servers: Vec<(i64, String)> = sqlx::query_as("SELECT id, tags FROM server ORDER BY id")
            .fetch_all(&self.inner.readers)
            .await?;
        let mut deleted = 0;
        for (server_id, tags) in servers {
            let ages = rules.of(&from_json::<Vec<String>>(&tags)?).by_tier();
            if let [Some(age), _, Some(same)] = ages
                && age == same
            {
                let (moment, due) = moments(now, age, slack);
                let mut oldest = i64::MAX;
                for tier in std::iter::once(0).chain(STEPS) {
                    oldest = oldest.min(self.oldest(server_id, tier).await?.unwrap_or(i64::MAX));
                }
                if oldest < due {
                    deleted += self.delete_in_batches(&before(server_id, moment)).await?;
                }
                continue;
            }
            for (age, tier) in ages.into_iter().zip(std::iter::once(0).chain(STEPS)) {
                let Some(age) = age else { continue };
                let (moment, due) = moments(now, age, slack);
                if self
                    .oldest(server_id, tier)
                    .await?
                    .is_none_or(|oldest| oldest >= due)
                {
                    continue;
                }
                if tier > 0 {
                    let moment = moment.div_euclid(tier) * tier;
                    self.retire(server_id, tier, moment).await?;
                    continue;
                }
                self.roll_all(server_id, moment, &mut FoldReport::default())
                    .await?;
                deleted += self.delete_rows(&before(server_id, moment)).await?;
                deleted += self.retire(server_id, 0, moment).await?;
            }
        }
        self.drop_unused_layouts(&DeleteRange::default()).await?;
        self.sweep_chunks().await?;
        self.give_space_back(super::remove::FREE_SHARE).await?;
        Ok(deleted)
    }

    /// The oldest sample, or bucket, of a server in a tier.
    async fn oldest(&self, server_id: i64, tier: i64) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar(
            "SELECT min(at) FROM (
                 SELECT min(first_at) AS at FROM block WHERE server_id = ?1 AND tier = ?2
                 UNION ALL SELECT min(taken_at) FROM sample WHERE server_id = ?1 AND ?2 = 0)",
        )
        .bind(server_id)
        .bind(tier)
        .fetch_one(&self.inner.readers)
        .await?)
    }

    /// Removes what one tier's blocks have from before a moment, and remembers that it is gone.
    async fn retire(&self, server_id: i64, tier: i64, moment: i64) -> Result<u64> {
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        cache.forget_folded(ServerId(server_id));
        self.samples_are_deleted();
        let gone = erase::in_tier(connection, server_id, tier, moment).await?;
        if tier == 0 {
            sqlx::query("UPDATE tally SET samples = samples - ?1, folded = folded - ?1 WHERE server_id = ?2")
                .bind(gone)
                .bind(server_id)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query(
            "INSERT INTO horizon (server_id, tier, at) VALUES (?, ?, ?)
             ON CONFLICT (server_id, tier) DO UPDATE SET at = max(at, excluded.at)",
        )
        .bind(server_id)
        .bind(tier)
        .bind(moment)
        .execute(connection)
        .await?;
        write.commit().await?;
        self.samples_are_deleted();
        Ok(gone.unsigned_abs())
    }
}

/// What is older than an age is to go, once the oldest is older than the second moment.
fn moments(now: Timestamp, age: i64, slack: i64) -> (i64, i64) {
    let moment = now.0.saturating_sub(age);
    (moment, moment.saturating_sub(age.checked_div(slack).unwrap_or(0)))
}

fn before(server_id: i64, moment: i64) -> DeleteRange {
    DeleteRange {
        server_id: Some(ServerId(server_id)),
        before: Some(Timestamp(moment)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_a_servers_tags_holds_and_coarser_tiers_are_kept_no_shorter() {
        let ages = |samples, quarter_hours| Ages {
            samples,
            quarter_hours,
            three_hours: Some(1),
        };
        let tags = [("a", ages(Some(5), Some(9))), ("b", ages(Some(7), None))];
        let retention = Retention {
            global: ages(Some(100), Some(50)),
            from_config: true,
            tags: tags.map(|(tag, ages)| (tag.to_owned(), ages)).into(),
        };
        let of = |tags: &[&str]| retention.of(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["x"]), retention.global);
        assert_eq!(of(&["a", "x"]), retention.tags["a"]);
        assert_eq!(of(&["a", "b"]), ages(Some(7), None));
        assert_eq!(retention.global.by_tier(), [Some(100_000); 3]);
        assert_eq!(of(&["a"]).by_tier(), [Some(5_000), Some(9_000), Some(9_000)]);
        assert_eq!(of(&["b"]).by_tier(), [Some(7_000), None, None]);
    }
}

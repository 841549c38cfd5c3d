//! What an import did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Timestamp;

/// Remarks that are kept; a file of nothing but mistakes has one a row.
const MOST_REMARKS: usize = 100;

/// Everything an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was written.
    pub dry_run: bool,
    /// Servers.
    pub servers: Counts,
    /// Samples.
    pub samples: Counts,
    /// Alerts.
    pub alerts: Counts,
    /// Alerts that were open in the old system, and are closed here.
    pub closed_alerts: u64,
    /// The oldest sample.
    pub oldest: Option<Timestamp>,
    /// The newest sample.
    pub newest: Option<Timestamp>,
    /// What a person should look at.
    pub remarks: Vec<String>,
    /// Tables and columns of the file that nothing was taken from.
    pub ignored: Vec<String>,
}

/// What became of the rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows in the file.
    pub found: u64,
    /// Taken over.
    pub added: u64,
    /// Already there, left as they are.
    pub present: u64,
    /// Left out, by the reason.
    pub skipped: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }
}

impl Report {
    pub(super) fn remark(&mut self, remark: impl Into<String>) {
        remark_in(&mut self.remarks, remark.into());
    }

    pub(super) fn covers(&mut self, moment: Timestamp) {
        self.oldest = Some(self.oldest.map_or(moment, |oldest| oldest.min(moment)));
        self.newest = self.newest.max(Some(moment));
    }
}

pub(super) fn remark_in(remarks: &mut Vec<String>, remark: String) {
    if remarks.len() < MOST_REMARKS {
        remarks.push(remark);
    } else if remarks.len() == MOST_REMARKS {
        remarks.push("… and more like these".to_owned());
    }
}

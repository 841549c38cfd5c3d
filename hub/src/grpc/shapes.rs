//! The hub's own types as messages of `MonitorService`.

use std::collections::HashMap;

use gander_proto::v1;

use crate::{
    alert::message::{self, Language},
    live::Fleet,
    model::{
        Alert, Level, Server, ServerId, ServerState, Status, Timestamp, Unit, alert::AlertPhase,
        metric::flatten, reading::Origin,
    },
    store::SeriesPoints,
};

/// A server, as the fleet knows it at this moment.
pub(super) fn server(server: &Server, fleet: &Fleet) -> v1::Server {
    let unknown = ServerState::default();
    let state = fleet.server(server.id).map_or(&unknown, |state| state.as_ref());
    let alerts = fleet.alert_counts(server.id);
    let spec = &server.spec;
    let snapshot = state.snapshot.as_deref();
    let status = if spec.enabled {
        state.status
    } else {
        Status::Paused
    };
    v1::Server {
        id: server.id.0,
        name: spec.name.clone(),
        address: spec.ip.clone(),
        tags: spec.tags.clone(),
        group: spec.group.clone(),
        transport: spec.transport.as_str().to_owned(),
        status: match status {
            Status::Unknown => v1::Status::Unknown,
            Status::Online => v1::Status::Online,
            Status::Offline => v1::Status::Offline,
            Status::Paused => v1::Status::Paused,
        }
        .into(),
        status_since_ms: state.status_since.map(Timestamp::as_millis),
        last_success_ms: state.last_success.map(Timestamp::as_millis),
        origin: state.origin.map(|origin| {
            match origin {
                Origin::Ssh => "ssh",
                Origin::Local => "local",
                Origin::Agent => "agent",
            }
            .to_owned()
        }),
        problem: state.error.as_ref().map(|error| v1::Problem {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
        }),
        warning_alerts: alerts.warning,
        critical_alerts: alerts.critical,
        cpu_usage_permille: snapshot
            .and_then(|seen| seen.cpu.as_ref())
            .map(|cpu| cpu.usage_permille.into()),
        memory_usage_permille: snapshot
            .and_then(|seen| seen.memory.as_ref())
            .and_then(|memory| memory.usage_permille())
            .map(u32::from),
        disk_usage_permille: snapshot
            .and_then(|seen| seen.root_filesystem())
            .map(|root| root.usage_permille.into()),
        load_1_hundredths: snapshot
            .and_then(|seen| seen.load.as_ref())
            .map(|load| load.one_hundredths),
        uptime_seconds: snapshot.and_then(|seen| seen.uptime_seconds),
        os: snapshot.and_then(|seen| seen.system.as_ref()?.os.clone()),
    }
}

/// Every value of a server.
pub(super) fn values(server_id: ServerId, state: &ServerState) -> v1::ServerValues {
    let values = state.snapshot.as_deref().map(flatten).unwrap_or_default();
    v1::ServerValues {
        server_id: server_id.0,
        taken_at_ms: state.last_success.map(Timestamp::as_millis),
        values: values
            .into_iter()
            .map(|(key, value)| v1::Value {
                metric: key.metric.name().to_owned(),
                label: key.label,
                value,
                unit: unit(key.metric.unit()).into(),
            })
            .collect(),
    }
}

/// One series, without its gaps.
pub(super) fn series(step_ms: i64, times: &[Timestamp], points: &SeriesPoints) -> v1::Series {
    let mut series = v1::Series {
        metric: points.metric.name().to_owned(),
        label: points.label.clone(),
        unit: unit(points.unit).into(),
        step_ms,
        ..v1::Series::default()
    };
    let values = points.min.iter().zip(&points.avg).zip(&points.max);
    for (at, ((min, avg), max)) in times.iter().zip(values) {
        if let (Some(min), Some(avg), Some(max)) = (min, avg, max) {
            series.at_ms.push(at.as_millis());
            series.minimum.push(*min);
            series.mean.push(*avg);
            series.maximum.push(*max);
        }
    }
    series
}

/// An alert, in English.
pub(super) fn alert(alert: &Alert, names: &HashMap<ServerId, String>) -> v1::Alert {
    // A server removed this very moment has no name any more.
    let name = names.get(&alert.key.server_id).map_or("?", String::as_str);
    v1::Alert {
        id: alert.id.0,
        server_id: alert.key.server_id.0,
        r#type: alert.key.rule.as_str().to_owned(),
        label: alert.key.label.clone(),
        level: match alert.level {
            Level::Warning => v1::Level::Warning,
            Level::Critical => v1::Level::Critical,
        }
        .into(),
        message: message::render(alert, name, Language::English),
        created_at_ms: alert.created_at.as_millis(),
        resolved: alert.phase == AlertPhase::Resolved,
        resolved_at_ms: alert.resolved_at.map(Timestamp::as_millis),
        resolved_by: alert.resolved_by.clone(),
    }
}

fn unit(unit: Unit) -> v1::Unit {
    match unit {
        Unit::Permille => v1::Unit::Permille,
        Unit::Bytes => v1::Unit::Bytes,
        Unit::BytesPerSecond => v1::Unit::BytesPerSecond,
        Unit::PerSecond => v1::Unit::PerSecond,
        Unit::Count => v1::Unit::Count,
        Unit::Seconds => v1::Unit::Seconds,
        Unit::Hundredths => v1::Unit::Hundredths,
        Unit::Microseconds => v1::Unit::Microseconds,
        Unit::Millicelsius => v1::Unit::Millicelsius,
        Unit::Millicores => v1::Unit::Millicores,
        Unit::Milliwatts => v1::Unit::Milliwatts,
        Unit::Thousandths => v1::Unit::Thousandths,
    }
}

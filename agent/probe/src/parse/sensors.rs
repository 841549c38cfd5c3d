//! Temperatures: lines `MILLICELSIUS NAME…` from `/sys/class/hwmon` and `/sys/class/thermal`.

use super::{Listed, ParseError, label};
use crate::snapshot::Temperature;

/// Sensors after the first 256 are left out.
const MAX_SENSORS: usize = 256;

/// Parses the lines. Values no machine has (a sensor that is not connected reads −274 °C) are left out.
#[must_use]
pub fn parse(text: &str) -> Listed<Temperature> {
    let mut listed = Listed::new();
    for line in text.lines() {
        let line = line.trim();
        let Some((value, name)) = line.split_once(' ') else {
            continue;
        };
        match value.parse::<i64>() {
            Ok(millicelsius) if (-100_000..=250_000).contains(&millicelsius) => listed.add(
                MAX_SENSORS,
                Ok(Temperature {
                    sensor: label(name),
                    millicelsius,
                }),
            ),
            Ok(_) => {}
            Err(_) => listed.note(ParseError::at("not a temperature", line)),
        }
    }
    listed
}

/// All sensors, each once: a thermal zone is left out where hwmon has the same, and sensors of
/// one name are numbered.
#[must_use]
pub fn join(hwmon: Vec<Temperature>, thermal: Vec<Temperature>) -> Vec<Temperature> {
    let chip = |temperature: &Temperature| -> String {
        let name = temperature.sensor.split(' ').next().unwrap_or_default();
        // The kernel turns a zone's dashes into underscores for hwmon.
        name.replace('-', "_")
    };
    let chips: std::collections::HashSet<String> = hwmon.iter().map(chip).collect();
    let mut sensors = hwmon;
    sensors.extend(thermal.into_iter().filter(|zone| {
        let package = zone.sensor == "x86_pkg_temp" && chips.contains("coretemp");
        !package && !chips.contains(&chip(zone))
    }));
    let mut seen = std::collections::HashMap::<String, u32>::new();
    for temperature in &mut sensors {
        let count = seen.entry(temperature.sensor.clone()).or_default();
        *count += 1;
        if *count > 1 {
            temperature.sensor = format!("{} {count}", temperature.sensor);
        }
    }
    sensors
}

//! The metric catalogue: every number of a [`Snapshot`], with its stable names and its unit.
//!
//! The table in [`catalogue!`] is the one place to add a metric: one line. A field of the
//! snapshot that is in no line does not compile. Ids are in the database and never change
//! their meaning; an id that falls out of use is not given again. Names follow
//! `subsystem.measure`; the OpenTelemetry name is that of the semantic conventions, with the
//! attribute that sets it apart in braces (`system.linux.*` where the conventions have none).

use std::fmt;
use std::str::FromStr;

use gander_probe::Snapshot;
use gander_probe::snapshot::{
    Container, Cpu, Custom, Disk, DiskRates, Filesystem, Gpu, Interface, InterfaceRates, Load, Memory,
    Pressure, Processes, Sockets, Swap, TcpState, Temperature, Units, Updates,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tenths of a percent.
    Permille,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Events a second.
    PerSecond,
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Hundredths of one (load averages).
    Hundredths,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a degree Celsius.
    Millicelsius,
    /// Thousandths of a core.
    Millicores,
    /// Thousandths of a watt.
    Milliwatts,
    /// Thousandths of whatever it is.
    Thousandths,
}

impl Unit {
    /// The unit people and clients see, and how many stored ones make one of it.
    #[must_use]
    pub fn shown(self) -> (&'static str, f64) {
        match self {
            Self::Permille => ("percent", 10.0),
            Self::Bytes => ("bytes", 1.0),
            Self::BytesPerSecond => ("bytes_per_second", 1.0),
            Self::PerSecond => ("per_second", 1.0),
            Self::Count => ("count", 1.0),
            Self::Seconds => ("seconds", 1.0),
            Self::Hundredths => ("load", 100.0),
            Self::Microseconds => ("milliseconds", 1000.0),
            Self::Millicelsius => ("celsius", 1000.0),
            Self::Millicores => ("cores", 1000.0),
            Self::Milliwatts => ("watts", 1000.0),
            Self::Thousandths => ("number", 1000.0),
        }
    }
}

/// What the label of a metric's series names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// Nothing: the metric has one series a server, with an empty label.
    None,
    /// A core, by the kernel's number from 0.
    Core,
    /// Where a filesystem is mounted.
    MountPoint,
    /// A block device.
    Device,
    /// A network interface.
    Interface,
    /// A temperature sensor.
    Sensor,
    /// A state of TCP sockets.
    TcpState,
    /// A container.
    Container,
    /// A graphics processor.
    Gpu,
    /// The name and labels of a series in a file of the owner's.
    Series,
}

/// One series of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// What is measured.
    pub metric: Metric,
    /// On which part of the server; empty for the whole.
    pub label: String,
}

/// What is fixed about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Definition {
    name: &'static str,
    open_telemetry: &'static str,
    unit: Unit,
    label: LabelKind,
}

/// A field of the snapshot as a stored number and back.
trait Cell: Sized {
    fn to_cell(&self) -> Option<i64>;
    fn from_cell(value: i64) -> Self;
}

macro_rules! integer_cells {
    ($($integer:ty),+) => { $(
        impl Cell for $integer {
            fn to_cell(&self) -> Option<i64> {
                Some(i64::try_from(*self).unwrap_or(i64::MAX))
            }
            fn from_cell(value: i64) -> Self {
                Self::try_from(value).unwrap_or(if value < 0 { 0 } else { Self::MAX })
            }
        }
    )+ };
}
integer_cells!(u16, u32, u64, i64);

impl<T: Cell> Cell for Option<T> {
    fn to_cell(&self) -> Option<i64> {
        self.as_ref().and_then(Cell::to_cell)
    }
    fn from_cell(value: i64) -> Self {
        Some(T::from_cell(value))
    }
}

/// The element of a section's list with this label, made where there is none.
fn entry<'a, T: Default>(
    list: &'a mut Option<Vec<T>>,
    label: &str,
    name: impl Fn(&mut T) -> &mut String,
) -> &'a mut T {
    let list = list.get_or_insert_default();
    let index = match list.iter_mut().position(|element| name(element) == label) {
        Some(index) => index,
        None => {
            let mut element = T::default();
            *name(&mut element) = label.to_owned();
            list.push(element);
            list.len() - 1
        }
    };
    &mut list[index]
}

macro_rules! catalogue {
    (
        whole {
            $( $section:ident: $Section:ident {
                $( $field:ident = $id:literal $Metric:ident $unit:ident $name:literal $otel:literal; )*
            } except { $($except:ident),* } )*
        }
        each {
            $( $list:ident: $Element:ident by $key:ident ($label:ident) {
                $( $lfield:ident = $lid:literal $LMetric:ident $lunit:ident $lname:literal $lotel:literal; )*
            } except { $($lexcept:ident),* } )*
        }
        rates {
            $( $rlist:ident: $RElement:ident by $rkey:ident ($rlabel:ident), $Rates:ident {
                $( $rfield:ident = $rid:literal $RMetric:ident $runit:ident $rname:literal $rotel:literal; )*
            } )*
        }
        by_hand {
            $( $hid:literal $HMetric:ident $hunit:ident ($hlabel:ident) $hname:literal $hotel:literal; )*
        }
    ) => {
        /// Everything gander measures. The numbers are the ids in the database.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Metric {
            $($( #[doc = concat!("`", $name, "`")] $Metric = $id, )*)*
            $($( #[doc = concat!("`", $lname, "`")] $LMetric = $lid, )*)*
            $($( #[doc = concat!("`", $rname, "`")] $RMetric = $rid, )*)*
            $( #[doc = concat!("`", $hname, "`")] $HMetric = $hid, )*
        }

        impl Metric {
            /// The whole catalogue.
            pub const ALL: &'static [Self] = &[
                $($( Self::$Metric, )*)* $($( Self::$LMetric, )*)* $($( Self::$RMetric, )*)* $( Self::$HMetric, )*
            ];

            /// The metric with this id in the database.
            #[must_use]
            pub fn from_id(id: i64) -> Option<Self> {
                match id {
                    $($( $id => Some(Self::$Metric), )*)*
                    $($( $lid => Some(Self::$LMetric), )*)*
                    $($( $rid => Some(Self::$RMetric), )*)*
                    $( $hid => Some(Self::$HMetric), )*
                    _ => None,
                }
            }

            fn definition(self) -> Definition {
                let (name, open_telemetry, unit, label) = match self {
                    $($( Self::$Metric => ($name, $otel, Unit::$unit, LabelKind::None), )*)*
                    $($( Self::$LMetric => ($lname, $lotel, Unit::$lunit, LabelKind::$label), )*)*
                    $($( Self::$RMetric => ($rname, $rotel, Unit::$runit, LabelKind::$rlabel), )*)*
                    $( Self::$HMetric => ($hname, $hotel, Unit::$hunit, LabelKind::$hlabel), )*
                };
                Definition { name, open_telemetry, unit, label }
            }
        }

        /// Calls `visit` with every number the snapshot holds. What is absent is not visited.
        pub fn visit(snapshot: &Snapshot, mut visit: impl FnMut(Metric, &str, i64)) {
            // No `..` anywhere: a new field of the snapshot must be given a line, or an `except`.
            let Snapshot {
                $( $section, )* $( $list, )* $( $rlist, )* uptime_seconds, boot_id: _, system: _, faults: _,
                top_processes: _,
            } = snapshot;
            $( if let Some(section) = $section {
                let $Section { $( $field, )* $( $except: _, )* } = section;
                $( if let Some(value) = $field.to_cell() { visit(Metric::$Metric, "", value); } )*
            } )*
            $( for element in $list.iter().flatten() {
                let $Element { $key, $( $lfield, )* $( $lexcept: _, )* } = element;
                $( if let Some(value) = $lfield.to_cell() { visit(Metric::$LMetric, $key, value); } )*
            } )*
            $( for element in $rlist.iter().flatten() {
                let $RElement { $rkey, rates } = element;
                let Some(rates) = rates else { continue };
                let $Rates { $( $rfield, )* } = rates;
                $( if let Some(value) = $rfield.to_cell() { visit(Metric::$RMetric, $rkey, value); } )*
            } )*
            if let Some(value) = uptime_seconds.to_cell() {
                visit(Metric::Uptime, "", value);
            }
            visit_by_hand(snapshot, &mut visit);
        }

        /// Puts one number back into a snapshot: the reverse of [`visit`].
        pub fn restore(snapshot: &mut Snapshot, metric: Metric, label: &str, value: i64) {
            match metric {
                $($( Metric::$Metric => {
                    snapshot.$section.get_or_insert_default().$field = Cell::from_cell(value);
                } )*)*
                $($( Metric::$LMetric => {
                    entry(&mut snapshot.$list, label, |element: &mut $Element| &mut element.$key).$lfield =
                        Cell::from_cell(value);
                } )*)*
                $($( Metric::$RMetric => {
                    let element =
                        entry(&mut snapshot.$rlist, label, |element: &mut $RElement| &mut element.$rkey);
                    element.rates.get_or_insert_default().$rfield = Cell::from_cell(value);
                } )*)*
                Metric::Uptime => snapshot.uptime_seconds = Cell::from_cell(value),
                Metric::CpuCoreUsage => {
                    // More cores than any machine has are a damaged label, not an allocation.
                    if let Some(core) = label.parse::<usize>().ok().filter(|core| *core < 8192) {
                        let cores = &mut snapshot.cpu.get_or_insert_default().cores_permille;
                        if cores.len() <= core {
                            cores.resize(core + 1, 0);
                        }
                        cores[core] = Cell::from_cell(value);
                    }
                }
                // Computed from their parts, which have series of their own.
                Metric::MemoryUsage | Metric::SwapUsage => {}
            }
        }
    };
}

catalogue! {
    whole {
        cpu: Cpu {
            usage_permille = 1 CpuUsage Permille "cpu.usage" "system.cpu.utilization";
            user_permille = 2 CpuUser Permille "cpu.user" "system.cpu.utilization{cpu.mode=user}";
            system_permille = 3 CpuSystem Permille "cpu.system" "system.cpu.utilization{cpu.mode=system}";
            iowait_permille = 4 CpuIowait Permille "cpu.iowait" "system.cpu.utilization{cpu.mode=iowait}";
            steal_permille = 5 CpuSteal Permille "cpu.steal" "system.cpu.utilization{cpu.mode=steal}";
            throttled_permille = 7 CpuThrottled Permille "cpu.throttled" "system.linux.cpu.throttled";
            limit_millicores = 8 CpuLimit Millicores "cpu.limit" "system.linux.cpu.limit";
        } except { cores_permille }
        memory: Memory {
            total_bytes = 10 MemoryTotal Bytes "memory.total" "system.memory.limit";
            used_bytes = 11 MemoryUsed Bytes "memory.used" "system.memory.usage{system.memory.state=used}";
            available_bytes = 12 MemoryAvailable Bytes "memory.available" "system.linux.memory.available";
            free_bytes = 13 MemoryFree Bytes "memory.free" "system.memory.usage{system.memory.state=free}";
            buffers_bytes = 14 MemoryBuffers Bytes "memory.buffers" "system.memory.usage{system.memory.state=buffers}";
            cached_bytes = 15 MemoryCached Bytes "memory.cached" "system.memory.usage{system.memory.state=cached}";
        } except {}
        swap: Swap {
            total_bytes = 20 SwapTotal Bytes "swap.total" "system.linux.paging.limit";
            used_bytes = 21 SwapUsed Bytes "swap.used" "system.paging.usage{system.paging.state=used}";
        } except {}
        load: Load {
            one_hundredths = 30 Load1 Hundredths "load.1" "system.cpu.load_average.1m";
            five_hundredths = 31 Load5 Hundredths "load.5" "system.cpu.load_average.5m";
            fifteen_hundredths = 32 Load15 Hundredths "load.15" "system.cpu.load_average.15m";
        } except {}
        processes: Processes {
            total = 40 ProcessesTotal Count "processes.total" "system.process.count";
            threads = 41 ProcessesThreads Count "processes.threads" "system.linux.thread.count";
            running = 42 ProcessesRunning Count "processes.running" "system.process.count{process.state=running}";
            blocked = 43 ProcessesBlocked Count "processes.blocked" "system.process.count{process.state=blocked}";
        } except {}
        pressure: Pressure {
            cpu_some_permille = 50 PressureCpuSome Permille "pressure.cpu.some" "system.linux.pressure.cpu.some";
            memory_some_permille = 51 PressureMemorySome Permille "pressure.memory.some" "system.linux.pressure.memory.some";
            memory_full_permille = 52 PressureMemoryFull Permille "pressure.memory.full" "system.linux.pressure.memory.full";
            io_some_permille = 53 PressureIoSome Permille "pressure.io.some" "system.linux.pressure.io.some";
            io_full_permille = 54 PressureIoFull Permille "pressure.io.full" "system.linux.pressure.io.full";
        } except {}
        sockets: Sockets {
            tcp_in_use = 60 SocketsTcp Count "sockets.tcp" "system.network.connection.count{network.transport=tcp}";
            tcp_time_wait = 61 SocketsTcpTimeWait Count "sockets.tcp_time_wait" "system.network.connection.count{network.connection.state=time_wait}";
            udp_in_use = 62 SocketsUdp Count "sockets.udp" "system.network.connection.count{network.transport=udp}";
        } except {}
        units: Units {
            failed = 70 UnitsFailed Count "units.failed" "system.linux.systemd.units{systemd.unit.state=failed}";
        } except { failed_names }
        updates: Updates {
            pending = 80 UpdatesPending Count "updates.pending" "system.linux.updates.pending";
            security = 81 UpdatesSecurity Count "updates.security" "system.linux.updates.security";
            reboot_required = 82 UpdatesRebootRequired Count "updates.reboot_required" "system.linux.reboot_required";
        } except {}
    }
    each {
        filesystems: Filesystem by mount_point (MountPoint) {
            total_bytes = 100 FilesystemTotal Bytes "filesystem.total" "system.filesystem.limit";
            used_bytes = 101 FilesystemUsed Bytes "filesystem.used" "system.filesystem.usage{system.filesystem.state=used}";
            available_bytes = 102 FilesystemAvailable Bytes "filesystem.available" "system.filesystem.usage{system.filesystem.state=free}";
            usage_permille = 103 FilesystemUsage Permille "filesystem.usage" "system.filesystem.utilization";
            inodes_total = 104 FilesystemInodesTotal Count "filesystem.inodes_total" "system.linux.filesystem.inodes.limit";
            inodes_used = 105 FilesystemInodesUsed Count "filesystem.inodes_used" "system.linux.filesystem.inodes.usage";
        } except { device, kind }
        temperatures: Temperature by sensor (Sensor) {
            millicelsius = 140 Temperature Millicelsius "temperature" "system.linux.temperature";
        } except {}
        tcp_states: TcpState by state (TcpState) {
            count = 150 TcpSockets Count "tcp.sockets" "system.network.connection.count{network.connection.state}";
        } except {}
        containers: Container by name (Container) {
            cpu_millicores = 160 ContainerCpu Millicores "container.cpu" "system.linux.container.cpu.usage";
            memory_bytes = 161 ContainerMemory Bytes "container.memory" "system.linux.container.memory.usage";
        } except {}
        gpus: Gpu by name (Gpu) {
            usage_permille = 170 GpuUsage Permille "gpu.usage" "system.linux.gpu.utilization";
            memory_total_bytes = 171 GpuMemoryTotal Bytes "gpu.memory_total" "system.linux.gpu.memory.limit";
            memory_used_bytes = 172 GpuMemoryUsed Bytes "gpu.memory_used" "system.linux.gpu.memory.usage";
            millicelsius = 173 GpuTemperature Millicelsius "gpu.temperature" "system.linux.gpu.temperature";
            milliwatts = 174 GpuPower Milliwatts "gpu.power" "system.linux.gpu.power";
        } except {}
        custom: Custom by series (Series) {
            value_thousandths = 180 Custom Thousandths "custom.value" "system.linux.custom";
        } except {}
    }
    rates {
        disks: Disk by device (Device), DiskRates {
            read_bytes_per_second = 110 DiskReadBytes BytesPerSecond "disk.read_bytes" "system.disk.io{disk.io.direction=read}";
            write_bytes_per_second = 111 DiskWriteBytes BytesPerSecond "disk.write_bytes" "system.disk.io{disk.io.direction=write}";
            reads_per_second = 112 DiskReads PerSecond "disk.reads" "system.disk.operations{disk.io.direction=read}";
            writes_per_second = 113 DiskWrites PerSecond "disk.writes" "system.disk.operations{disk.io.direction=write}";
            utilisation_permille = 114 DiskUtilisation Permille "disk.utilisation" "system.disk.io_time";
            await_us = 115 DiskAwait Microseconds "disk.await" "system.disk.operation_time";
        }
        interfaces: Interface by name (Interface), InterfaceRates {
            receive_bytes_per_second = 120 NetworkReceiveBytes BytesPerSecond "network.receive_bytes" "system.network.io{network.io.direction=receive}";
            transmit_bytes_per_second = 121 NetworkTransmitBytes BytesPerSecond "network.transmit_bytes" "system.network.io{network.io.direction=transmit}";
            receive_packets_per_second = 122 NetworkReceivePackets PerSecond "network.receive_packets" "system.network.packet.count{network.io.direction=receive}";
            transmit_packets_per_second = 123 NetworkTransmitPackets PerSecond "network.transmit_packets" "system.network.packet.count{network.io.direction=transmit}";
            errors = 124 NetworkErrors Count "network.errors" "system.network.errors";
            drops = 125 NetworkDrops Count "network.drops" "system.network.packet.dropped";
        }
    }
    by_hand {
        6 CpuCoreUsage Permille (Core) "cpu.core_usage" "system.cpu.utilization{cpu.logical_number}";
        16 MemoryUsage Permille (None) "memory.usage" "system.memory.utilization";
        22 SwapUsage Permille (None) "swap.usage" "system.paging.utilization";
        33 Uptime Seconds (None) "uptime" "system.uptime";
    }
}

/// The numbers that are no field of a section: a list of bare numbers, and shares of a whole.
fn visit_by_hand(snapshot: &Snapshot, visit: &mut impl FnMut(Metric, &str, i64)) {
    let mut label = String::new();
    let cores = snapshot.cpu.iter().flat_map(|cpu| &cpu.cores_permille);
    for (core, usage) in cores.enumerate() {
        label.clear();
        let _ = fmt::Write::write_fmt(&mut label, format_args!("{core}"));
        visit(Metric::CpuCoreUsage, &label, i64::from(*usage));
    }
    if let Some(usage) = snapshot.memory.as_ref().and_then(Memory::usage_permille) {
        visit(Metric::MemoryUsage, "", i64::from(usage));
    }
    if let Some(usage) = snapshot.swap.as_ref().and_then(Swap::usage_permille) {
        visit(Metric::SwapUsage, "", i64::from(usage));
    }
}

impl Metric {
    /// The id in the database.
    #[must_use]
    pub fn id(self) -> i64 {
        i64::from(self as u16)
    }

    /// The name in the REST interface: `cpu.usage`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// The part of the snapshot it comes from: its name up to the first dot.
    #[must_use]
    pub fn section(self) -> &'static str {
        let name = self.name();
        name.split_once('.').map_or(name, |(section, _)| section)
    }

    /// The name in OpenTelemetry's semantic conventions, with the attribute that sets it apart:
    /// `system.cpu.utilization{cpu.mode=user}`.
    #[must_use]
    pub fn open_telemetry(self) -> &'static str {
        self.definition().open_telemetry
    }

    /// The unit of its values.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.definition().unit
    }

    /// What the labels of its series name.
    #[must_use]
    pub fn label_kind(self) -> LabelKind {
        self.definition().label
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|metric| metric.name() == text)
            .ok_or_else(|| {
                format!("there is no metric \"{text}\": cpu.usage and memory.usage are two there are")
            })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Every number the snapshot holds, as series of its server.
#[must_use]
pub fn flatten(snapshot: &Snapshot) -> Vec<(SeriesKey, i64)> {
    let mut values = Vec::new();
    visit(snapshot, |metric, label, value| {
        let label = label.to_owned();
        values.push((SeriesKey { metric, label }, value));
    });
    values
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    /// A snapshot with a value in every number, made from JSON so that the types' names are
    /// checked too: a number that is not flattened would come back as another one.
    fn full() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (index, metric) in Metric::ALL.iter().enumerate() {
            let labels: &[&str] = match metric.label_kind() {
                LabelKind::None => &[""],
                LabelKind::Core => &["0", "1", "2"],
                _ => &["a", "b"],
            };
            for (offset, label) in labels.iter().enumerate() {
                restore(&mut snapshot, *metric, label, (index * 3 + offset + 1) as i64);
            }
        }
        snapshot
    }

    /// Every leaf number of a JSON value.
    fn numbers(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Number(_) => 1,
            serde_json::Value::Array(list) => list.iter().map(numbers).sum(),
            serde_json::Value::Object(map) => map.values().map(numbers).sum(),
            _ => 0,
        }
    }

    #[test]
    fn every_number_of_a_snapshot_is_a_series_and_comes_back() {
        let snapshot = full();
        let flat = flatten(&snapshot);
        let derived = flat
            .iter()
            .filter(|(key, _)| matches!(key.metric, Metric::MemoryUsage | Metric::SwapUsage));
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(
            flat.len() - derived.count(),
            numbers(&json),
            "a number is in no series"
        );
        assert!(!json.to_string().contains("_permille\":null"), "{json}");

        let mut back = Snapshot::default();
        for (key, value) in &flat {
            restore(&mut back, key.metric, &key.label, *value);
        }
        assert_eq!(back, snapshot);
        let metrics: HashSet<Metric> = flat.iter().map(|(key, _)| key.metric).collect();
        assert_eq!(metrics.len(), Metric::ALL.len());
    }

    #[test]
    fn names_and_ids_are_unique_and_lead_back() {
        let mut otel = HashSet::new();
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().as_ref(), Ok(metric));
            assert_eq!(Metric::from_id(metric.id()), Some(*metric));
            assert!(
                otel.insert(metric.open_telemetry()),
                "{metric} shares its OpenTelemetry name"
            );
            assert!(metric.open_telemetry().starts_with("system."));
        }
        assert_eq!(Metric::from_id(0), None);
        assert!("cpu".parse::<Metric>().unwrap_err().contains("\"cpu\""));
    }

    /// Ids are in databases in the field: this list may grow, its lines may not change.
    #[test]
    fn ids_keep_their_meaning() {
        let ids: BTreeMap<i64, &str> = Metric::ALL
            .iter()
            .map(|metric| (metric.id(), metric.name()))
            .collect();
        insta::assert_snapshot!(
            ids.iter()
                .map(|(id, name)| format!("{id} {name}"))
                .collect::<Vec<_>>()
                .join("\n")
        );
    }

    #[test]
    fn absent_is_not_zero() {
        assert!(flatten(&Snapshot::default()).is_empty());
        let snapshot = Snapshot {
            processes: Some(Processes {
                running: Some(0),
                ..Processes::default()
            }),
            ..Snapshot::default()
        };
        assert_eq!(flatten(&snapshot).len(), 1);
    }

    #[test]
    fn a_hostile_core_label_allocates_nothing() {
        let mut snapshot = Snapshot::default();
        restore(&mut snapshot, Metric::CpuCoreUsage, "4000000000", 1);
        assert_eq!(snapshot, Snapshot::default());
        restore(&mut snapshot, Metric::MemoryUsed, "", -5);
        assert_eq!(snapshot.memory.unwrap().used_bytes, 0);
    }
}

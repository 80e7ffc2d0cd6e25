//! Options that the commands share, and the notations of their values.

use std::num::NonZeroUsize;
use std::time::Duration;

use blueshift::engine::{Warehouse, WarehouseBuilder};

#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// Slices of a new warehouse; by default as many as there are cores, at least 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slices: Option<u32>,
    /// Threads that compute; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Memory that queries may use together, as 4GiB, 500MB or bytes; by default 75 % of the machine's
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,
    /// Hours for which versions of the past are kept, to be read by FOR SYSTEM_TIME AS OF; by default 24, or as long as another
    /// process asks
    #[arg(long, value_name = "HOURS")]
    keep_versions: Option<u32>,
}

impl EngineArgs {
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(cores, usize::from)
    }

    pub fn warehouse(&self) -> WarehouseBuilder {
        let mut builder = Warehouse::builder().threads(self.threads());
        if let Some(slices) = self.slices {
            builder = builder.slices(slices);
        }
        if let Some(bytes) = self.memory_limit {
            builder = builder.memory_limit(bytes);
        }
        if let Some(hours) = self.keep_versions {
            builder = builder.keep_versions(Duration::from_secs(u64::from(hours) * 3600));
        }
        builder
    }
}

/// `4GiB`, `500MB`, `1.5g`, `1048576`. K, M, G and T alone are binary.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("\"{unit}\" is no unit; write a size as 4GiB, 500MB or bytes")),
    };
    let bytes = number.parse::<f64>().map_err(|_| "write a size as 4GiB, 500MB or bytes".to_string())? * factor as f64;
    if !(1.0..=u64::MAX as f64 / 2.0).contains(&bytes) {
        return Err("a size is at least one byte, and less than 8 EiB".into());
    }
    Ok(bytes as usize)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4GiB"), Ok(4 << 30));
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        assert_eq!(parse_size("1.5 k"), Ok(1536));
        for wrong in ["", "GiB", "4 parsecs", "-1", "0", "1.2.3GB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}

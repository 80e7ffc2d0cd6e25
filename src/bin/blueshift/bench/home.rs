//! Where the warehouses of benchmarks are kept by default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The place of a benchmark's warehouse: below CARGO_TARGET_DIR or, in a checkout of Blueshift, below its target; elsewhere in
/// a directory `blueshift-BENCHMARK`.
pub fn warehouse(benchmark: &str, name: &str) -> Result<String, Failure> {
    let path = home(benchmark).join(name);
    let text = path.to_str().map(str::to_string);
    text.ok_or_else(|| Failure::Message(format!("{} is not a name in UTF-8; use -w", path.display())))
}

pub fn home(benchmark: &str) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    home_from(&here, std::env::var_os("CARGO_TARGET_DIR"), benchmark)
}

/// As [`home`], for the current directory `here`: with cargo's own output, but not in another project's.
fn home_from(here: &Path, target: Option<OsString>, benchmark: &str) -> PathBuf {
    if let Some(target) = target.filter(|t| !t.is_empty()) {
        return here.join(target).join(benchmark);
    }
    let project = here.ancestors().find(|d| d.join("Cargo.toml").is_file());
    let manifest = project.map(|root| std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default());
    match project {
        Some(root) if manifest.as_deref().is_some_and(is_blueshift) => root.join("target").join(benchmark),
        _ => here.join(format!("blueshift-{benchmark}")),
    }
}

/// Whether a Cargo.toml is the one of the package `blueshift`.
fn is_blueshift(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1);
    let name = lines.by_ref().take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.trim())
    });
    name == Some("\"blueshift\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warehouses_stand_in_no_other_projects_target() {
        let dir = tempfile::tempdir().unwrap();
        let (root, inner) = (dir.path(), dir.path().join("src/deep"));
        std::fs::create_dir_all(&inner).unwrap();
        let home = |target: Option<&str>| home_from(&inner, target.map(OsString::from), "tpch");
        assert_eq!(home(None), inner.join("blueshift-tpch"));
        std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"other\"\n[dependencies]\nname = \"blueshift\"\n")
            .unwrap();
        assert_eq!(home(None), inner.join("blueshift-tpch"));
        std::fs::write(root.join("Cargo.toml"), include_str!("../../../../Cargo.toml")).unwrap();
        assert_eq!(home(None), root.join("target/tpch"));
        // What cargo was told goes before.
        assert_eq!(home(Some("")), root.join("target/tpch"));
        assert_eq!(home(Some("/elsewhere")), Path::new("/elsewhere/tpch"));
        assert_eq!(home(Some("out")), inner.join("out/tpch"));
    }
}

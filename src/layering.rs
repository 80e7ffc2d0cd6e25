//! Which module may import which: the table, and the test that holds the source and ARCHITECTURE.md to it.
//!
//! Rust lets any module of a crate name any other. Here every `crate::…` path of every file under `src`, in `use`
//! declarations and elsewhere, is compared with [`LAYERS`]; so is every path that begins with a dependency's name.
//! Tests (files `tests.rs` and below `tests/`, and test modules of others) may also use `testing` and
//! any dependency.

/// A module's row of the table.
struct Layer {
    /// Higher ones import from lower ones; within one level, as the rows say.
    level: u8,
    module: &'static str,
    /// Modules of the crate.
    imports: &'static [&'static str],
    /// Dependencies, beside [`EVERYWHERE`].
    externals: &'static [&'static str],
}

/// The layers, bottom-up.
///
/// `common`, `format`, `statistics` and `distribution` are pure: values, bytes and Arrow arrays, no I/O and nothing async. The store
/// begins at `catalog`, DataFusion at `physical_plan`; `sql` knows DataFusion's SQL parser only.
const LAYERS: [Layer; 15] = [
    Layer { level: 0, module: "common", imports: &[], externals: &["uuid"] },
    Layer {
        level: 0,
        module: "format",
        imports: &["common"],
        externals: &["bytes", "crc32c", "fastlanes", "fsst", "lz4_flex", "pastey", "seq_macro", "zstd"],
    },
    Layer { level: 0, module: "statistics", imports: &["common", "format"], externals: &["crc32c", "twox_hash"] },
    Layer { level: 0, module: "distribution", imports: &["common"], externals: &[] },
    Layer {
        level: 1,
        module: "catalog",
        imports: &["common", "distribution"],
        externals: &[
            "async_trait",
            "bytes",
            "chrono",
            "crc32c",
            "futures",
            "object_store",
            "parking_lot",
            "prost",
            "quick_cache",
            "roaring",
            "tokio",
            "tracing",
            "zstd",
        ],
    },
    Layer {
        level: 1,
        module: "storage",
        imports: &["common", "format", "statistics", "distribution", "catalog"],
        externals: &[
            "async_trait",
            "bytes",
            "crc32c",
            "futures",
            "memmap2",
            "object_store",
            "parking_lot",
            "quick_cache",
            "roaring",
            "tokio",
            "tracing",
        ],
    },
    Layer { level: 2, module: "sql", imports: &["common"], externals: &["sqlparser"] },
    Layer {
        level: 2,
        module: "functions",
        imports: &["common"],
        externals: &[
            "chrono",
            "chrono_tz",
            "crc32c",
            "crc32fast",
            "datafusion",
            "datafusion_functions_json",
            "regex",
            "serde_json",
            "sha1",
        ],
    },
    Layer {
        level: 2,
        module: "physical_plan",
        imports: &["common", "format", "statistics", "distribution", "catalog", "storage", "functions"],
        externals: PLAN,
    },
    Layer {
        level: 3,
        module: "optimizer",
        imports: &["common", "statistics", "distribution", "catalog", "functions", "physical_plan"],
        externals: PLAN,
    },
    Layer {
        level: 3,
        module: "system",
        imports: &["common", "format", "statistics", "distribution", "catalog", "storage", "sql"],
        externals: PLAN,
    },
    Layer {
        level: 4,
        module: "engine",
        imports: &[
            "common",
            "format",
            "statistics",
            "distribution",
            "catalog",
            "storage",
            "sql",
            "functions",
            "physical_plan",
            "optimizer",
            "system",
        ],
        externals: ANY,
    },
    Layer {
        level: 5,
        module: "codec",
        imports: &["common", "distribution", "catalog", "functions", "physical_plan", "optimizer", "system", "engine"],
        externals: &[
            "bytes",
            "crc32c",
            "datafusion",
            "datafusion_functions_json",
            "datafusion_proto",
            "parking_lot",
            "prost",
            "tokio",
        ],
    },
    // The command line is a crate of its own: it sees what an application sees.
    Layer { level: 5, module: "bin", imports: ANY, externals: ANY },
    // Outside the shipped layers: for tests of this crate and of applications.
    Layer {
        level: 5,
        module: "testing",
        imports: &["common", "catalog"],
        externals: &[
            "async_trait",
            "bytes",
            "chrono",
            "crc32c",
            "futures",
            "object_store",
            "parking_lot",
            "prost",
            "tokio",
            "tracing",
        ],
    },
];

/// Dependencies that every module may use.
const EVERYWHERE: [&str; 1] = ["arrow"];

const PLAN: &[&str] = &["async_trait", "bytes", "datafusion", "futures", "parking_lot", "roaring", "tokio", "tracing"];

const ANY: &[&str] = &["*"];

/// Files that are no layer: they name all.
const CURATED: [&str; 3] = ["lib.rs", "layering.rs", "docs"];

impl Layer {
    /// The row as ARCHITECTURE.md shows it.
    fn row(&self) -> String {
        let list = |names: &[&str]| match names {
            [] => "-".to_string(),
            ["*"] => "any".to_string(),
            names => names.join(", "),
        };
        format!("| {} | {} | {} | {} |", self.level, self.module, list(self.imports), list(self.externals))
    }
}

/// What is wrong with the paths in `source`, the text of `file` (its path below `src`). `dependencies` are the crates
/// that Cargo.toml names, as Rust does.
fn violations(file: &str, source: &str, dependencies: &[String]) -> Vec<String> {
    let module = file.split(['/', '.']).next().unwrap_or(file);
    if CURATED.iter().any(|c| file == *c || module == *c) {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|l| l.module == module) else {
        return vec![format!("{file}: module {module} has no row in LAYERS")];
    };
    let is_test_file = file.ends_with("/tests.rs") || file.contains("/tests/");
    let mut in_test = is_test_file;
    let mut found = Vec::new();
    for (line, text) in source.lines().zip(1..).map(|(text, line)| (line, code_of(text))) {
        in_test |= text.trim_start().starts_with("#[cfg(test)]") && opens_module(source, line);
        for name in names_after(text, "crate::") {
            // What `pub use` in lib.rs offers is for applications: inside, paths name the module.
            let allowed = layer.imports == ANY
                || name == module
                || layer.imports.contains(&name)
                || (in_test && name == "testing");
            if !allowed {
                found.push(format!("{file}:{line}: {module} imports {name}"));
            }
        }
        if in_test || layer.externals == ANY {
            continue;
        }
        for name in roots(text) {
            let known = dependencies.iter().any(|d| d == name);
            if known && !EVERYWHERE.contains(&name) && !layer.externals.contains(&name) {
                found.push(format!("{file}:{line}: {module} uses the crate {name}"));
            }
        }
    }
    found
}

/// Whether the `#[cfg(test)]` on this line stands before `mod name {`, which by custom ends the file. One before a
/// function, or before `mod name;`, whose file is looked at by itself, does not.
fn opens_module(source: &str, line: usize) -> bool {
    source.lines().nth(line).is_some_and(|next| next.trim_start().starts_with("mod ") && next.trim_end().ends_with('{'))
}

/// The line without a comment. `//` within a string is rare enough to be taken for one.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Identifiers that follow `prefix`; those of `use crate::{a::…, b}` too, which stand on the same line.
fn names_after<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        // `super_crate::` is another word, `$crate::` the same crate.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && is_word(c) => {
                            names.push(word(&group[i..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => names.push(word(rest)),
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The first segments of the paths on a line.
fn roots(text: &str) -> Vec<&str> {
    let mut roots = Vec::new();
    for (at, _) in text.match_indices("::") {
        let start = text[..at].rfind(|c: char| !is_word(c)).map_or(0, |i| i + 1);
        let name = &text[start..at];
        if !name.is_empty() && !text[..start].ends_with("::") && !text[..start].ends_with('.') {
            roots.push(name);
        }
    }
    if let Some(rest) = text.trim_start().strip_prefix("use ") {
        roots.push(word(rest));
    }
    roots.sort_unstable();
    roots.dedup();
    roots
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Rust files below `src`, with their paths from there.
    fn sources() -> Vec<(String, String)> {
        let mut folders = vec![root().join("src")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let name = path.strip_prefix(root().join("src")).unwrap();
                    files.push((name.to_str().unwrap().replace('\\', "/"), read(&path)));
                }
            }
        }
        files.sort();
        files
    }

    /// The crates in Cargo.toml's `[dependencies]`.
    fn dependencies() -> Vec<String> {
        let manifest = read(&root().join("Cargo.toml"));
        let section = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        let names = section.lines().filter_map(|l| l.split_once(" = ")).map(|(name, _)| match name {
            "fsst-rs" => "fsst".to_string(),
            name => name.replace('-', "_"),
        });
        names.collect()
    }

    #[test]
    fn every_module_keeps_to_its_layer() {
        let dependencies = dependencies();
        assert!(dependencies.iter().any(|d| d == "object_store"), "{dependencies:?}");
        let found: Vec<String> =
            sources().iter().flat_map(|(file, source)| violations(file, source, &dependencies)).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn the_table_has_no_cycles_and_no_strangers() {
        let dependencies = dependencies();
        let files = sources();
        for (i, layer) in LAYERS.iter().enumerate() {
            assert!(
                files.iter().any(|(file, _)| file.starts_with(&format!("{}/", layer.module))),
                "{} is no module",
                layer.module
            );
            if layer.imports != ANY {
                for import in layer.imports {
                    let below = LAYERS[..i].iter().any(|l| l.module == *import && l.level <= layer.level);
                    assert!(below, "{} imports {import}, which is not below it", layer.module);
                }
            }
            if layer.externals != ANY {
                for external in layer.externals {
                    assert!(dependencies.iter().any(|d| d == external), "{external} is no dependency");
                }
            }
        }
    }

    #[test]
    fn architecture_shows_the_table() {
        let text = read(&root().join("ARCHITECTURE.md"));
        let rows: Vec<&str> =
            text.lines().filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit()).collect();
        let expected: Vec<String> = LAYERS.iter().map(Layer::row).collect();
        assert_eq!(rows, expected, "ARCHITECTURE.md should show:\n{}", expected.join("\n"));
    }

    #[test]
    fn a_violation_is_found() {
        let dependencies = dependencies();
        let found = |file: &str, source: &str| violations(file, source, &dependencies);
        assert_eq!(found("format/x.rs", "use crate::catalog::Catalog;"), ["format/x.rs:1: format imports catalog"]);
        assert_eq!(found("format/x.rs", "fn f() {\n    crate::engine::g();\n}").len(), 1);
        assert_eq!(found("format/x.rs", "use crate::{common::Error, sql::{Statement, split}, storage};").len(), 2);
        assert_eq!(found("format/x.rs", "use object_store::path::Path;").len(), 1);
        assert_eq!(found("format/x.rs", "let x: datafusion::common::Result<()>;").len(), 1);
        assert_eq!(found("catalog/x.rs", "use datafusion::common::Result;").len(), 1);
        assert_eq!(found("sql/x.rs", "use datafusion::sql::sqlparser;").len(), 1);
        assert_eq!(found("catalog/x.rs", "use crate::testing::Rng;").len(), 1);
        assert_eq!(found("nobody/mod.rs", "").len(), 1);
        // What a test module uses, and what a comment says, is not held against the layer.
        assert!(found("catalog/tests/x.rs", "use crate::testing::Rng;\nuse proptest::prelude::*;").is_empty());
        assert!(found("catalog/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::testing::Rng;\n}").is_empty());
        assert!(found("format/x.rs", "/// See [`crate::catalog`].\nuse crate::common::Error;").is_empty());
        // The declaration of a test module does not end the file's shipped part.
        assert_eq!(found("catalog/mod.rs", "#[cfg(test)]\nmod tests;\nuse crate::engine::Session;").len(), 1);
        assert!(!found("catalog/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::engine::Session;\n}").is_empty());
    }
}

//! Which files a COPY loads, and what the table remembers of them.

use std::collections::HashSet;

use object_store::{ObjectMeta, ObjectStoreExt};

use super::text::shown_name;
use crate::catalog::{LoadHistory, Source};
use crate::common::{Error, Result, SqlState};
use crate::engine::files::CopyFiles;

/// Those of `groups` that were not loaded before, each once; and how many were left out.
///
/// Errors: Invalid for a file that is so old that the table may have forgotten it.
pub fn not_loaded(groups: &[CopyFiles], history: &LoadHistory) -> Result<(Vec<CopyFiles>, usize)> {
    let known = history.keys();
    let mut seen = HashSet::new();
    let (mut left, mut skipped) = (Vec::new(), 0);
    for group in groups {
        let mut files = Vec::new();
        for file in &group.files {
            let key = (shown_name(&group.base, file), identity(file));
            if known.contains(&(key.0.as_str(), Some(key.1.as_str()))) || seen.contains(&key) {
                skipped += 1;
                continue;
            }
            if file.e_tag.is_none() && file.last_modified.timestamp_micros() == 0 {
                let message =
                    format!("whether {} was loaded cannot be told: its server says nothing of its version", key.0);
                return Err(Error::unsupported(message).with_hint("leave SKIP LOADED out"));
            }
            if history.forgotten_us().is_some_and(|forgotten| file.last_modified.timestamp_micros() <= forgotten) {
                let message =
                    format!("whether {} was loaded is forgotten: it is older than what the table remembers", key.0);
                return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                    .with_hint("name the files that are new in a manifest; without SKIP LOADED all are loaded"));
            }
            seen.insert(key);
            files.push(file.clone());
        }
        if !files.is_empty() {
            left.push(CopyFiles { files, ..group.clone() });
        }
    }
    Ok((left, skipped))
}

/// The content that was read is that which was listed: of buckets, reads are bound to it; of files here it is looked up again.
///
/// Errors: Unavailable where a file has changed meanwhile.
pub async fn check_unchanged(groups: &[CopyFiles]) -> Result<()> {
    for group in groups.iter().filter(|group| group.base.scheme() == "file") {
        for file in &group.files {
            let now = group.store.head(&file.location).await.ok();
            if now.is_none_or(|now| identity(&now) != identity(file)) {
                let message = format!("{} has changed while it was read", shown_name(&group.base, file));
                return Err(Error::unavailable(message).with_hint("run the statement again, once the file is complete"));
            }
        }
    }
    Ok(())
}

/// What the table is to remember of the files; `rows` says how many each has.
pub fn sources(groups: &[CopyFiles], rows: impl Fn(&str) -> u64, now_us: i64) -> Vec<Source> {
    let source = |group: &CopyFiles, file: &ObjectMeta| {
        let name = shown_name(&group.base, file);
        Source { rows: rows(&name), identity: Some(identity(file).into()), name: name.into(), loaded_us: now_us }
    };
    groups.iter().flat_map(|group| group.files.iter().map(move |file| source(group, file))).collect()
}

/// Which content a file has: another one has another.
fn identity(file: &ObjectMeta) -> String {
    match &file.e_tag {
        Some(tag) => tag.clone(),
        None => format!("{}-{}", file.last_modified.timestamp_micros(), file.size),
    }
}

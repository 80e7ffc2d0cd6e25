//! What loads have read into a table, by which the same file is not loaded twice.

use std::collections::HashSet;
use std::sync::Arc;

/// A file that a load has read, or a batch that an application has appended under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's URL; of a batch, its key.
    pub name: Arc<str>,
    /// Which content the file had, as its store tells it apart: its ETag, or the time of its last change and its size. `None`
    /// of a batch.
    pub identity: Option<Arc<str>>,
    pub rows: u64,
    pub loaded_us: i64,
}

impl Source {
    fn key(&self) -> (&str, Option<&str>) {
        (&self.name, self.identity.as_deref())
    }
}

/// The sources of a table's rows, in the order in which they were loaded.
///
/// Guarantees: none is there twice; there are at most [`LoadHistory::MOST`] of them, the oldest of which are forgotten first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadHistory {
    /// All but the last are full, so that adding a source copies few others.
    chunks: Vec<Arc<Vec<Source>>>,
    /// When the newest of those that are forgotten was loaded.
    forgotten_us: Option<i64>,
}

impl LoadHistory {
    /// Sources that are remembered of a table (our own choice: some 10 MB at most).
    pub const MOST: usize = 1 << 16;
    const CHUNK: usize = 1 << 10;

    /// As it was stored.
    pub fn stored(sources: Vec<Source>, forgotten_us: Option<i64>) -> Self {
        let history = LoadHistory { chunks: Vec::new(), forgotten_us };
        history.with(&sources)
    }

    /// The same, of which the newest that is forgotten was loaded then, if not later.
    pub fn forgetting(self, forgotten_us: Option<i64>) -> Self {
        LoadHistory { forgotten_us: self.forgotten_us.max(forgotten_us), ..self }
    }

    /// With `sources` at its end; those that it has stay where they are.
    pub fn with(&self, sources: &[Source]) -> Self {
        if sources.is_empty() {
            return self.clone();
        }
        let mut new: HashSet<_> = sources.iter().map(Source::key).collect();
        for known in self.iter() {
            new.remove(&known.key());
        }
        let mut next = self.clone();
        for source in sources.iter().filter(|source| new.remove(&source.key())) {
            match next.chunks.last_mut() {
                Some(last) if last.len() < Self::CHUNK => Arc::make_mut(last).push(source.clone()),
                _ => next.chunks.push(Arc::new(vec![source.clone()])),
            }
        }
        while next.len() > Self::MOST {
            let newest = next.chunks.remove(0).iter().map(|source| source.loaded_us).max();
            next.forgotten_us = next.forgotten_us.max(newest);
        }
        next
    }

    /// In the order in which they were loaded.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The source of that name and identity, if it is remembered.
    pub fn find(&self, name: &str, identity: Option<&str>) -> Option<&Source> {
        self.iter().find(|source| source.key() == (name, identity))
    }

    /// The names and identities of all, to look up many.
    pub fn keys(&self) -> HashSet<(&str, Option<&str>)> {
        self.iter().map(Source::key).collect()
    }

    /// When the newest of those that are forgotten was loaded: a file that is not here and has not changed since then may have
    /// been loaded all the same.
    pub fn forgotten_us(&self) -> Option<i64> {
        self.forgotten_us
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: usize) -> Source {
        Source { name: format!("f{number}").into(), identity: Some("1".into()), rows: 1, loaded_us: number as i64 }
    }

    #[test]
    fn each_source_is_there_once() {
        let history = LoadHistory::default().with(&[source(1), source(2), source(1)]).with(&[source(2), source(3)]);
        let names: Vec<&str> = history.iter().map(|s| &*s.name).collect();
        assert_eq!(names, ["f1", "f2", "f3"]);
        let batch = Source { identity: None, ..source(1) };
        assert!(history.find("f1", Some("1")).is_some() && history.find("f1", None).is_none());
        assert!(history.with(&[batch]).find("f1", None).is_some());
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let all: Vec<Source> = (0..LoadHistory::MOST + 10).map(source).collect();
        let history = all.chunks(999).fold(LoadHistory::default(), |history, some| history.with(some));
        assert!(history.len() <= LoadHistory::MOST && history.len() >= LoadHistory::MOST - LoadHistory::CHUNK);
        let first = history.iter().next().unwrap();
        assert_eq!(history.forgotten_us(), Some(first.loaded_us - 1));
        assert!(history.find(&format!("f{}", LoadHistory::MOST + 9), Some("1")).is_some());
        let stored = LoadHistory::stored(history.iter().cloned().collect(), history.forgotten_us());
        assert!(stored.iter().eq(history.iter()) && stored.forgotten_us() == history.forgotten_us());
    }
}

//! A file system in memory that knows, for each file and directory, what would survive a loss of power.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::rng::Rng;
use crate::catalog::local_store::layer::{FileInfo, FileLayer, ReadFile, WriteFile};

/// What a loss of power leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    Lost,
    /// Everything.
    Kept,
    /// Of each name and each file on its own, by a seed: the old, the new; of files also the new in part, or zeros.
    Mixed(u64),
}

/// A disk: clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Clone)]
struct Disk {
    nodes: Vec<Node>,
    time_us: i64,
}

#[derive(Debug, Clone)]
enum Node {
    File { now: Vec<u8>, durable: Vec<u8>, modified_us: i64 },
    Dir { now: Names, durable: Names },
}

type Names = BTreeMap<String, usize>;

impl Default for SimDisk {
    fn default() -> Self {
        let root = Node::Dir { now: Names::new(), durable: Names::new() };
        SimDisk(Arc::new(Mutex::new(Disk { nodes: vec![root], time_us: 1_000_000 })))
    }
}

impl SimDisk {
    /// A process that uses the disk. It changes the disk `cut` times, then the power is gone for it.
    pub fn process(&self, cut: Option<usize>) -> Arc<SimFiles> {
        let power = Arc::new(Power { done: AtomicUsize::new(0), cut: cut.unwrap_or(usize::MAX) });
        Arc::new(SimFiles { disk: self.clone(), power })
    }

    /// The disk as it is found after the power has come back.
    pub fn crash(&self, crash: Crash) -> SimDisk {
        let mut disk = self.0.lock().clone();
        let mut rng = Rng::new(match crash {
            Crash::Mixed(seed) => seed,
            _ => 0,
        });
        for node in &mut disk.nodes {
            match node {
                Node::File { now, durable, .. } => {
                    if now != durable {
                        *now = survivor(now, durable, crash, &mut rng);
                    }
                    *durable = now.clone();
                }
                Node::Dir { now, durable } => {
                    let mut names: Vec<String> = now.keys().chain(durable.keys()).cloned().collect();
                    names.sort();
                    names.dedup();
                    let mut left = Names::new();
                    for name in names {
                        let newer = match crash {
                            Crash::Lost => false,
                            Crash::Kept => true,
                            Crash::Mixed(_) => rng.one_in(2),
                        };
                        let from = if newer { &*now } else { &*durable };
                        left.extend(from.get(&name).map(|node| (name, *node)));
                    }
                    *now = left.clone();
                    *durable = left;
                }
            }
        }
        SimDisk(Arc::new(Mutex::new(disk)))
    }
}

fn survivor(now: &[u8], durable: &[u8], crash: Crash, rng: &mut Rng) -> Vec<u8> {
    match crash {
        Crash::Lost => durable.to_vec(),
        Crash::Kept => now.to_vec(),
        Crash::Mixed(_) => match rng.below(4) {
            0 => durable.to_vec(),
            1 => now.to_vec(),
            2 => now[..rng.below(now.len() + 1)].to_vec(),
            // The length was written, the bytes were not.
            _ => vec![0; now.len()],
        },
    }
}

#[derive(Debug)]
struct Power {
    done: AtomicUsize,
    cut: usize,
}

impl Power {
    /// Before every change of the disk.
    fn change(&self) -> io::Result<()> {
        match self.done.fetch_add(1, Ordering::SeqCst) < self.cut {
            true => Ok(()),
            false => Err(io::Error::other("the power is gone")),
        }
    }

    fn on(&self) -> io::Result<()> {
        match self.done.load(Ordering::SeqCst) <= self.cut {
            true => Ok(()),
            false => Err(io::Error::other("the power is gone")),
        }
    }
}

/// The disk as one process uses it.
#[derive(Debug)]
pub struct SimFiles {
    disk: SimDisk,
    power: Arc<Power>,
}

impl SimFiles {
    /// How often it has changed the disk, syncs included.
    pub fn changes(&self) -> usize {
        self.power.done.load(Ordering::SeqCst)
    }
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Dir { now, .. } = &self.nodes[at] else { return Err(io::ErrorKind::NotADirectory.into()) };
            let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            at = *now.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn parent(&mut self, path: &Path) -> io::Result<(&mut Names, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?.to_string();
        let at = self.find(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        match &mut self.nodes[at] {
            Node::Dir { now, .. } => Ok((now, name)),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let id = self.nodes.len();
        let (names, name) = self.parent(path)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, id);
        self.nodes.push(node);
        Ok(id)
    }

    fn info(&self, node: usize) -> FileInfo {
        match &self.nodes[node] {
            Node::File { now, modified_us, .. } => {
                FileInfo { len: now.len() as u64, modified_us: *modified_us, is_dir: false, identity: node as u64 }
            }
            Node::Dir { .. } => FileInfo { len: 0, modified_us: 0, is_dir: true, identity: node as u64 },
        }
    }

    fn sync(&mut self, node: usize) {
        match &mut self.nodes[node] {
            Node::File { now, durable, .. } => durable.clone_from(now),
            Node::Dir { now, durable } => durable.clone_from(now),
        }
    }
}

#[derive(Debug)]
struct SimWrite {
    disk: SimDisk,
    power: Arc<Power>,
    node: usize,
}

#[derive(Debug)]
struct SimRead {
    bytes: Bytes,
    info: FileInfo,
}

impl WriteFile for SimWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        disk.time_us += 1;
        let time_us = disk.time_us;
        if let Node::File { now, modified_us, .. } = &mut disk.nodes[self.node] {
            now.extend_from_slice(bytes);
            *modified_us = time_us;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.power.change()?;
        self.disk.0.lock().sync(self.node);
        Ok(())
    }
}

impl ReadFile for SimRead {
    fn info(&self) -> FileInfo {
        self.info
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let end = offset as usize + len;
        match end <= self.bytes.len() {
            true => Ok(self.bytes.slice(offset as usize..end)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl FileLayer for SimFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        let modified_us = disk.time_us;
        let node = disk.add(path, Node::File { now: Vec::new(), durable: Vec::new(), modified_us })?;
        Ok(Box::new(SimWrite { disk: self.disk.clone(), power: self.power.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.power.on()?;
        let disk = self.disk.0.lock();
        let node = disk.find(path)?;
        match &disk.nodes[node] {
            Node::File { now, .. } => {
                Ok(Box::new(SimRead { bytes: Bytes::copy_from_slice(now), info: disk.info(node) }))
            }
            Node::Dir { .. } => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        let node = disk.find(path)?;
        disk.sync(node);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.power.change()?;
        self.disk.0.lock().add(path, Node::Dir { now: Names::new(), durable: Names::new() }).map(|_| ())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        let node = disk.find(from)?;
        let (names, name) = disk.parent(to)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, node);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        let node = disk.find(from)?;
        let (names, name) = disk.parent(to)?;
        names.insert(name, node);
        let (names, name) = disk.parent(from)?;
        names.remove(&name);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.power.change()?;
        let mut disk = self.disk.0.lock();
        let (names, name) = disk.parent(path)?;
        names.remove(&name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        self.power.on()?;
        let disk = self.disk.0.lock();
        Ok(disk.info(disk.find(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, FileInfo)>> {
        self.power.on()?;
        let disk = self.disk.0.lock();
        match &disk.nodes[disk.find(dir)?] {
            Node::Dir { now, .. } => Ok(now.iter().map(|(name, node)| (name.clone(), disk.info(*node))).collect()),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn blocks(&self) -> bool {
        false
    }
}

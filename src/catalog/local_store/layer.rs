//! The few things that the local store asks of a file system, so that a test can put a simulated one in its place.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    pub len: u64,
    /// Microseconds since 1970, UTC.
    pub modified_us: i64,
    pub is_dir: bool,
    /// Differs between a file and one that replaced it, as far as the file system can tell.
    pub identity: u64,
}

/// A file being written.
pub trait WriteFile: Debug + Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written survives a loss of power (the file's name may not).
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read: it stays the same when its name gets another file.
pub trait ReadFile: Debug + Send {
    fn info(&self) -> FileInfo;
    /// Exactly `len` bytes from `offset`.
    fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// A file system. Errors are those of `std::io`: `NotFound` and `AlreadyExists` are told apart from others.
pub trait FileLayer: Debug + Send + Sync + 'static {
    /// Creates a file that did not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Makes the content of an existing file survive.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory survive.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name; fails when the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file over whatever has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn unlink(&self, path: &Path) -> io::Result<()>;
    fn info(&self, path: &Path) -> io::Result<FileInfo>;
    /// Names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, FileInfo)>>;
    /// Whether calls may block, so that they belong on a thread of their own.
    fn blocks(&self) -> bool {
        true
    }
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFiles;

#[derive(Debug)]
struct OsWrite(File);

#[derive(Debug)]
struct OsRead {
    file: File,
    info: FileInfo,
}

impl WriteFile for OsWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl ReadFile for OsRead {
    fn info(&self) -> FileInfo {
        self.info
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(len);
        self.file.seek(SeekFrom::Start(offset))?;
        (&mut self.file).take(len as u64).read_to_end(&mut bytes)?;
        match bytes.len() == len {
            true => Ok(Bytes::from(bytes)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl FileLayer for OsFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(OsWrite(File::options().write(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let file = File::open(path)?;
        let info = info_of(&file.metadata()?);
        match info.is_dir {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(Box::new(OsRead { file, info })),
        }
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Elsewhere a directory cannot be opened; its names are the file system's affair.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        std::fs::metadata(path).map(|m| info_of(&m))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, FileInfo)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // Names that are not text are nobody's of ours; files may vanish while the directory is read.
            let Ok(name) = entry.file_name().into_string() else { continue };
            match std::fs::metadata(entry.path()) {
                Ok(metadata) => names.push((name, info_of(&metadata))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(names)
    }
}

fn info_of(metadata: &std::fs::Metadata) -> FileInfo {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    #[cfg(unix)]
    let identity = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let identity = 0;
    FileInfo {
        len: metadata.len(),
        modified_us: modified.and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0),
        is_dir: metadata.is_dir(),
        identity,
    }
}

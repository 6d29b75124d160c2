//! A run: rows in order, in a file of their own.
//!
//! Behind a file's header, where files are encrypted, come frames: the length of the content (4, little-endian), its CRC-32C as
//! RocksDB masks it (4), the content: rows, each the lengths of key and value (4 each), the key and the value. A frame without
//! content is the last one.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use geodynamo_rocks_env::masked_crc32c;
use geodynamo_seal::{FILE_HEADER_BYTES, FileCipher, Keyring};
use geodynamo_storage::{COMMIT_BYTES_MAX, Row, StorageError};

use super::failed;

/// Bytes of rows after which a frame ends: what a merge holds of each run.
const FRAME_BYTES: usize = 64 * 1024;
const FRAME_HEAD: usize = 8;

/// Writes a run.
pub(super) struct RunWriter {
    path: PathBuf,
    file: File,
    cipher: Option<FileCipher>,
    /// Bytes behind the header.
    written: u64,
    frame: Vec<u8>,
}

impl RunWriter {
    pub(super) fn create(path: PathBuf, seal: Option<&Keyring>) -> Result<Self, StorageError> {
        let create = || -> Result<_, Box<dyn std::error::Error>> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            let mut cipher = None;
            if let Some(keyring) = seal {
                let (header, of_file) = keyring.begin_file(None)?;
                file.write_all(&header)?;
                cipher = Some(of_file);
            }
            Ok((file, cipher))
        };
        let (file, cipher) = create().map_err(|error| failed(&path, &error))?;
        Ok(Self {
            path,
            file,
            cipher,
            written: 0,
            frame: Vec::with_capacity(FRAME_BYTES * 2),
        })
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if self.frame.is_empty() {
            self.frame.resize(FRAME_HEAD, 0);
        }
        // Both are within a commit's bytes.
        self.frame.put_u32_le(key.len() as u32);
        self.frame.put_u32_le(value.len() as u32);
        self.frame.extend_from_slice(key);
        self.frame.extend_from_slice(value);
        if self.frame.len() >= FRAME_BYTES {
            self.end_frame()?;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), StorageError> {
        self.frame.resize(self.frame.len().max(FRAME_HEAD), 0);
        let (head, content) = self.frame.split_at_mut(FRAME_HEAD);
        head[..4].copy_from_slice(&(content.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&masked_crc32c(content).to_le_bytes());
        if let Some(cipher) = &self.cipher {
            let sealed = cipher.seal(self.written, &mut self.frame);
            sealed.map_err(|error| failed(&self.path, &error))?;
        }
        let written = self.file.write_all(&self.frame);
        written.map_err(|error| failed(&self.path, &error))?;
        self.written += self.frame.len() as u64;
        self.frame.clear();
        Ok(())
    }

    /// Makes it durable, but for its name in the folder.
    pub(super) fn finish(mut self) -> Result<(), StorageError> {
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        self.end_frame()?;
        self.file.sync_all().map_err(|error| failed(&self.path, &error))
    }
}

/// Reads a run. It holds a frame, and no file: there may be more runs than files that may be open.
pub(super) struct RunReader {
    path: PathBuf,
    cipher: Option<FileCipher>,
    /// Where the next frame begins.
    at: u64,
    frame: Bytes,
    ended: bool,
}

impl RunReader {
    pub(super) fn open(path: &Path, seal: Option<&Keyring>) -> Result<Self, StorageError> {
        let open = || -> Result<_, Box<dyn std::error::Error>> {
            let Some(keyring) = seal else { return Ok(None) };
            let mut header = [0; FILE_HEADER_BYTES];
            File::open(path)?.read_exact(&mut header)?;
            Ok(Some(keyring.open_file(&header)?))
        };
        Ok(Self {
            path: path.to_owned(),
            cipher: open().map_err(|error| failed(path, &error))?,
            at: 0,
            frame: Bytes::new(),
            ended: false,
        })
    }

    /// The next row; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, StorageError> {
        if self.frame.is_empty() && !self.ended {
            self.read_frame()?;
        }
        if self.frame.is_empty() {
            return Ok(None);
        }
        let row = (|| {
            let key = self.frame.try_get_u32_le().ok()? as usize;
            let value = self.frame.try_get_u32_le().ok()? as usize;
            let whole = self.frame.len() >= key.checked_add(value)?;
            whole.then(|| (self.frame.split_to(key), self.frame.split_to(value)))
        })();
        row.map(Some).ok_or_else(|| self.damaged())
    }

    fn read_frame(&mut self) -> Result<(), StorageError> {
        let header = self.cipher.as_ref().map_or(0, |_| FILE_HEADER_BYTES as u64);
        let mut head = [0; FRAME_HEAD];
        let mut content = Vec::new();
        let read = (|| -> Result<_, Box<dyn std::error::Error>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(header + self.at))?;
            file.read_exact(&mut head)?;
            if let Some(cipher) = &self.cipher {
                cipher.open(self.at, &mut head)?;
            }
            let bytes = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if bytes > FRAME_BYTES + COMMIT_BYTES_MAX {
                return Err("a frame is too long".into());
            }
            content.resize(bytes, 0);
            file.read_exact(&mut content)?;
            if let Some(cipher) = &self.cipher {
                cipher.open(self.at + FRAME_HEAD as u64, &mut content)?;
            }
            Ok(())
        })();
        read.map_err(|error| failed(&self.path, &error))?;
        if head[4..] != masked_crc32c(&content).to_le_bytes() {
            return Err(self.damaged());
        }
        self.at += (FRAME_HEAD + content.len()) as u64;
        self.ended = content.is_empty();
        self.frame = content.into();
        Ok(())
    }

    fn damaged(&self) -> StorageError {
        failed(&self.path, &"a run is damaged")
    }
}

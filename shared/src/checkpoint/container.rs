//! The two containers of `torch.save`: which pickle holds the values, and where the bytes of a storage are.

use super::pickle;
use super::reader::Reader;
use super::value::{Object, Pickled, Storage, Value};
use super::{CheckpointError, Format};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::{CompressionMethod, ZipArchive};

/// The legacy format's only version.
const PROTOCOL_VERSION: i64 = 1001;

/// How many times a compressed archive may grow. Weights hardly shrink, pruned ones ten times or so.
const MAX_RATIO: u64 = 16;

/// The bytes of storages by key.
pub(super) enum Storages<'a> {
    Zip(Archive<'a>),
    Legacy(HashMap<String, &'a [u8]>),
}

/// A zip archive over the input.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    bytes: &'a [u8],
    /// The folder that everything lies in, with its slash.
    folder: String,
    big_endian: bool,
    /// Storages that had to be decompressed. `torch.save` compresses none.
    unpacked: HashMap<String, Vec<u8>>,
    /// Bytes that decompression may still give.
    budget: u64,
}

/// Finds the container by its first bytes, and runs its pickle.
pub(super) fn open(bytes: &[u8]) -> Result<(Format, Pickled<'_>, Storages<'_>), CheckpointError> {
    let found = match bytes {
        [] => "an empty file",
        [b'P', b'K', 3 | 5, ..] => return open_zip(bytes),
        [0x80, 0..=5, ..] | [b'L' | b'c', ..] => return open_legacy(bytes),
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file (Keras writes such)",
        [0x1f, 0x8b, ..] => "gzip-compressed (unpack it first)",
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => "a pointer of Git LFS (run `git lfs pull`)",
        [b'<', ..] => "a web page (the download went wrong)",
        [8, ..] => "perhaps an ONNX file",
        _ => "of an unknown format",
    };
    Err(CheckpointError::NotACheckpoint { found })
}

fn open_zip(bytes: &[u8]) -> Result<(Format, Pickled<'_>, Storages<'_>), CheckpointError> {
    let zip = ZipArchive::new(Cursor::new(bytes))?;
    let names = || zip.file_names().flatten();
    if names().any(|name| name.ends_with("/constants.pkl")) {
        return Err(CheckpointError::TorchScript);
    }
    let folder = names()
        .find_map(|name| name.strip_suffix("data.pkl").filter(|folder| folder.is_empty() || folder.ends_with('/')).map(str::to_owned));
    let Some(folder) = folder else {
        return Err(CheckpointError::NotACheckpoint { found: "a zip archive without `data.pkl` (NumPy's .npz is one)" });
    };
    let budget = MAX_RATIO.saturating_mul(bytes.len() as u64).saturating_add(1 << 16);
    let mut archive = Archive { zip, bytes, folder, big_endian: false, unpacked: HashMap::new(), budget };
    archive.big_endian = archive.entry("byteorder")?.is_some_and(|order| order.bytes(bytes) == b"big");
    let Some(pickle) = archive.entry("data.pkl")? else {
        return Err(CheckpointError::NotACheckpoint { found: "a zip archive without `data.pkl`" });
    };
    let pickled = match pickle {
        Entry::Stored { start, end } => pickle::run(&mut Reader::new(bytes.get(start..end).unwrap_or_default()))?,
        Entry::Unpacked(pickle) => pickle::run(&mut Reader::new(&pickle))?.into_owned(),
    };
    Ok((Format::Torch, pickled, Storages::Zip(archive)))
}

/// A file of the archive: where it lies, or what it unpacks to.
enum Entry {
    Stored { start: usize, end: usize },
    Unpacked(Vec<u8>),
}

impl Entry {
    fn bytes<'s>(&'s self, archive: &'s [u8]) -> &'s [u8] {
        match self {
            Entry::Stored { start, end } => archive.get(*start..*end).unwrap_or_default(),
            Entry::Unpacked(bytes) => bytes,
        }
    }
}

impl Archive<'_> {
    fn entry(&mut self, name: &str) -> Result<Option<Entry>, CheckpointError> {
        let full = format!("{}{name}", self.folder);
        let Some(index) = self.zip.index_for_name(&full) else { return Ok(None) };
        let file = self.zip.by_index_raw(index)?;
        let (start, length) = (file.data_start().unwrap_or(u64::MAX), file.compressed_size());
        if file.encrypted() {
            return Err(CheckpointError::Storage { key: name.to_owned(), reason: "it is encrypted".to_owned() });
        }
        if file.compression() == CompressionMethod::Stored {
            let range = usize::try_from(start).ok().zip(start.checked_add(length).and_then(|end| usize::try_from(end).ok()));
            let range = range.filter(|&(start, end)| start <= end && end <= self.bytes.len());
            let (start, end) = range.ok_or_else(|| CheckpointError::Storage {
                key: name.to_owned(),
                reason: format!("expected its {length} bytes inside the file"),
            })?;
            return Ok(Some(Entry::Stored { start, end }));
        }
        drop(file);
        let mut unpacked = Vec::new();
        let limit = self.budget;
        self.zip.by_index(index)?.take(limit.saturating_add(1)).read_to_end(&mut unpacked).map_err(zip::result::ZipError::from)?;
        self.budget = limit
            .checked_sub(unpacked.len() as u64)
            .ok_or_else(|| CheckpointError::TooLarge { what: format!("compressed {name}"), limit })?;
        Ok(Some(Entry::Unpacked(unpacked)))
    }
}

impl Storages<'_> {
    /// The bytes of a storage, not copied unless they had to be unpacked.
    pub fn get(&mut self, key: &str) -> Result<&[u8], CheckpointError> {
        let missing = || CheckpointError::Storage { key: key.to_owned(), reason: "the file does not hold it".to_owned() };
        match self {
            Storages::Legacy(storages) => storages.get(key).copied().ok_or_else(missing),
            Storages::Zip(archive) => {
                if !archive.unpacked.contains_key(key) {
                    match archive.entry(&format!("data/{key}"))?.ok_or_else(missing)? {
                        Entry::Stored { start, end } => return Ok(archive.bytes.get(start..end).unwrap_or_default()),
                        Entry::Unpacked(bytes) => drop(archive.unpacked.insert(key.to_owned(), bytes)),
                    }
                }
                archive.unpacked.get(key).map(Vec::as_slice).ok_or_else(missing)
            }
        }
    }

    /// Whether numbers are stored most significant byte first.
    pub fn big_endian(&self) -> bool {
        matches!(self, Storages::Zip(Archive { big_endian: true, .. }))
    }
}

fn open_legacy(bytes: &[u8]) -> Result<(Format, Pickled<'_>, Storages<'_>), CheckpointError> {
    let mut reader = Reader::new(bytes);
    let first = pickle::run(&mut reader).map_err(|error| match (bytes, &error) {
        // Only a pickle's own mark makes it one; text may start with any letter.
        ([0x80, ..], _) | (_, CheckpointError::Refused { .. } | CheckpointError::WholeObject { .. }) => error,
        _ => CheckpointError::NotACheckpoint { found: "of an unknown format" },
    })?;
    if first.root != Value::Magic {
        return Err(CheckpointError::NotACheckpoint { found: "a plain pickle, which `torch.save` did not write" });
    }
    let version = pickle::run(&mut reader)?.root;
    if version != Value::Int(PROTOCOL_VERSION) {
        return Err(CheckpointError::Pickle {
            at: reader.at(),
            reason: format!("expected version {PROTOCOL_VERSION} of PyTorch's format"),
        });
    }
    // About the machine that wrote it. Its byte order says nothing: this format is always little-endian.
    pickle::run(&mut reader)?;
    let pickled = pickle::run(&mut reader)?;
    let keys = pickle::run(&mut reader)?;
    let Some(Object::List(list)) = keys.object(keys.root) else {
        return Err(CheckpointError::Pickle { at: reader.at(), reason: "expected the list of storages".to_owned() });
    };
    let known: HashMap<&str, &Storage> = pickled
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Storage(storage) => Some((pickled.text(Value::Object(storage.key))?, storage)),
            _ => None,
        })
        .collect();
    let mut storages = HashMap::new();
    for &key in list {
        let key = keys.text(key).unwrap_or_default();
        let broken = |reason: String| CheckpointError::Storage { key: key.to_owned(), reason };
        let storage = known.get(key).ok_or_else(|| broken("no tensor uses it, so the size of its elements is unknown".to_owned()))?;
        let count = reader.u64()?;
        if count != storage.numel {
            return Err(broken(format!("it has {count} elements, expected {}", storage.numel)));
        }
        let length = count.checked_mul(storage.dtype.size() as u64).ok_or_else(|| broken(format!("{count} elements are too many")))?;
        storages.insert(key.to_owned(), reader.take(length, "a storage")?);
    }
    Ok((Format::TorchLegacy, pickled, Storages::Legacy(storages)))
}

//! Data sets: built in, or from a folder.

use super::InputError;
use bytes::Bytes;
use pleach_shared::data::{Amount, Cut, Format, NamedFile, Splits, decode, expected, split, wanted};
use pleach_shared::spec::{Data, DataSource, SpecError};
use pleach_shared::task::{BlobId, DataFile, DataRef};
use std::path::{Path, PathBuf};

/// The official Fashion-MNIST 10,000-image files (MIT licence, Zalando SE), so that a first run needs no download.
const FASHION_MNIST_10K: [(&str, &[u8]); 2] = [
    ("t10k-images-idx3-ubyte.gz", include_bytes!("fashion-mnist-10k/t10k-images-idx3-ubyte.gz")),
    ("t10k-labels-idx1-ubyte.gz", include_bytes!("fashion-mnist-10k/t10k-labels-idx1-ubyte.gz")),
];

/// Test images that are cut from the built-in set, which has no file of its own for them.
const FASHION_MNIST_10K_TEST: Amount = Amount::Count(1500);

/// A data set that was read and checked.
pub(super) struct Loaded {
    /// Its description for tasks.
    pub(super) data: DataRef,
    /// Its images.
    pub(super) splits: Splits,
    /// Its files.
    pub(super) blobs: Vec<(BlobId, Bytes)>,
}

/// Reads a data set.
pub(super) fn load(data: &Data, folder: &Path) -> Result<Loaded, InputError> {
    let (format, place, files, test) = match &data.source {
        DataSource::Dataset(name) => {
            let files = FASHION_MNIST_10K.map(|(name, bytes)| (name.to_owned(), Bytes::from_static(bytes)));
            (Format::Idx, PathBuf::from(name), files.to_vec(), Some(FASHION_MNIST_10K_TEST))
        }
        DataSource::Idx(path) => read(Format::Idx, &folder.join(path), "data.idx")?,
        DataSource::Cifar10(path) => read(Format::Cifar10, &folder.join(path), "data.cifar10")?,
        DataSource::Cifar100(path) => read(Format::Cifar100, &folder.join(path), "data.cifar100")?,
    };
    let cut = Cut { holdout: data.holdout, test };
    let named: Vec<NamedFile<'_>> = files.iter().map(|(name, bytes)| NamedFile { name, bytes }).collect();
    let splits =
        decode(format, &named).and_then(|archive| split(&archive, &cut)).map_err(|error| InputError::Data { path: place, error })?;
    let blobs: Vec<(BlobId, Bytes)> = files.iter().map(|(_, bytes)| (BlobId::of(bytes), bytes.clone())).collect();
    let reference = DataRef {
        format,
        files: files.into_iter().zip(&blobs).map(|((name, _), &(blob, _))| DataFile { name, blob }).collect(),
        cut,
        splits: splits.record(),
        normalize: data.normalize.clone(),
        augment: data.augment,
    };
    Ok(Loaded { data: reference, splits, blobs })
}

type Files = (Format, PathBuf, Vec<(String, Bytes)>, Option<Amount>);

fn read(format: Format, folder: &Path, field: &'static str) -> Result<Files, InputError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| InputError::Read { path, error, named_by: Some(field) }
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail(folder))? {
        names.push(entry.map_err(fail(folder))?.file_name().to_string_lossy().into_owned());
    }
    // The order in which a folder lists its files must not change a submission's id.
    names.sort();
    let mut files = Vec::new();
    for name in wanted(format, &names) {
        let path = folder.join(&name);
        files.push((name, Bytes::from(std::fs::read(&path).map_err(fail(&path))?)));
    }
    match files.is_empty() {
        true => Err(InputError::NoData { path: folder.to_owned(), expected: expected(format) }),
        false => Ok((format, folder.to_owned(), files, None)),
    }
}

/// Normalisation has one value, or one a channel: which only the data tell.
pub(super) fn check_normalize(data: &Data, channels: usize) -> Result<(), SpecError> {
    match &data.normalize {
        Some(normalize) if normalize.mean.len() != 1 && normalize.mean.len() != channels => Err(SpecError {
            message: format!("has {} values, the images have {channels} channel(s)", normalize.mean.len()),
            line: None,
            column: None,
            field: Some("data.normalize".into()),
            help: Some(format!("give one value for all channels, or {channels}")),
        }),
        _ => Ok(()),
    }
}

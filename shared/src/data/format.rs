//! The file formats: which files belong to one, and the way from their bytes to an [`Archive`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DataError, Images, cifar, idx};

/// A format in which data sets are published.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The IDX files of MNIST, Fashion-MNIST and KMNIST, plain or gzipped: one channel, ten classes.
    Idx,
    /// The binary version of CIFAR-10: 3x32x32, ten classes.
    Cifar10,
    /// The binary version of CIFAR-100: 3x32x32, a hundred (fine) classes.
    Cifar100,
}

/// The name that YAML uses.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Idx => "idx",
            Format::Cifar10 => "cifar10",
            Format::Cifar100 => "cifar100",
        })
    }
}

/// One file of a data set, read by the caller.
#[derive(Clone, Copy)]
pub struct NamedFile<'a> {
    /// Its name, with or without the folders that it is in: only the last part tells what the file is.
    pub name: &'a str,
    /// Its bytes as they are on disk, compressed or not.
    pub bytes: &'a [u8],
}

/// The images of a data set as its owner published them. A data set needs to hold only the splits that are used.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The training images, shared so that cutting them copies no pixels.
    pub train: Option<Arc<Images>>,
    /// The official test images.
    pub test: Option<Arc<Images>>,
}

/// Which of a folder's file names belong to `format`, in the order of their names: the caller reads just these.
///
/// Where an IDX file lies there both plain and gzipped, only the plain one is wanted.
pub fn wanted(format: Format, names: &[String]) -> Vec<String> {
    let mut wanted: Vec<String> = match format {
        Format::Idx => idx::wanted(names),
        Format::Cifar10 => cifar::CIFAR_10.wanted(names),
        Format::Cifar100 => cifar::CIFAR_100.wanted(names),
    };
    wanted.sort();
    wanted.dedup();
    wanted
}

/// The files that `format` consists of, in words for an error message: "expected ...".
pub fn expected(format: Format) -> &'static str {
    match format {
        Format::Idx => {
            "the pair train-images-idx3-ubyte and train-labels-idx1-ubyte, the pair t10k-images-idx3-ubyte and \
             t10k-labels-idx1-ubyte, or both, plain or as .gz"
        }
        Format::Cifar10 => "data_batch_1.bin to data_batch_5.bin, test_batch.bin, or both, from CIFAR-10's binary version",
        Format::Cifar100 => "train.bin, test.bin, or both, from CIFAR-100's binary version",
    }
}

/// The images in `files`, in the order of the files' names whatever the order in which they are given.
///
/// Files that [`wanted`] does not name are passed over, and so is the other split if only one has files.
///
/// # Errors
/// No file of the format, or a file that is not what its name says.
pub fn decode(format: Format, files: &[NamedFile]) -> Result<Archive, DataError> {
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let files: Vec<NamedFile> =
        wanted(format, &names).iter().filter_map(|name| files.iter().find(|file| file.name == name).copied()).collect();
    if files.is_empty() {
        return Err(DataError::NoFiles { format });
    }
    let part = |part| match format {
        Format::Idx => idx::decode(part, &files),
        Format::Cifar10 => cifar::CIFAR_10.decode(part, &files),
        Format::Cifar100 => cifar::CIFAR_100.decode(part, &files),
    };
    let archive = Archive { train: part(Part::Train)?.map(Arc::new), test: part(Part::Test)?.map(Arc::new) };
    if let (Some(train), Some(test)) = (&archive.train, &archive.test) {
        train.must_match(test)?;
    }
    Ok(archive)
}

/// What a file belongs to as its owner published it. (Not a `SplitName`: nobody publishes a holdout split.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Train,
    Test,
}

/// A file's name without its folders.
pub(super) fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

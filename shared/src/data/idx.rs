//! The IDX files of the MNIST family: a big-endian header, then unsigned bytes. Plain or gzipped.
//!
//! <http://yann.lecun.com/exdb/mnist/>, "File formats".

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::format::{Part, base};
use super::{DataError, Images, NamedFile};

/// MNIST, Fashion-MNIST and KMNIST all have ten classes; the format itself does not say.
const CLASSES: usize = 10;
/// The most that a header may announce. The real files have 47 MB; more is a damaged header or a decompression bomb.
const LIMIT: u64 = 4 << 30;

/// The names that belong to the format, one for each of the four files.
pub(super) fn wanted(names: &[String]) -> Vec<String> {
    let files = [Part::Train, Part::Test].into_iter().flat_map(|part| [(part, Array::Images), (part, Array::Labels)]);
    files.filter_map(|(part, array)| pick(part, array, names.iter(), |name| name.as_str()).cloned()).collect()
}

/// The images and labels of one part, `None` if neither has a file.
pub(super) fn decode(part: Part, files: &[NamedFile]) -> Result<Option<Images>, DataError> {
    let find = |array| pick(part, array, files.iter(), |file| file.name);
    let alone = |file: &NamedFile, missing| {
        let [missing, ..] = spellings(part, missing);
        Err(DataError::NoPartner { file: file.name.to_string(), missing })
    };
    let (images, labels) = match (find(Array::Images), find(Array::Labels)) {
        (Some(images), Some(labels)) => (images, labels),
        (Some(images), None) => return alone(images, Array::Labels),
        (None, Some(labels)) => return alone(labels, Array::Images),
        (None, None) => return Ok(None),
    };
    let ([count, height, width], pixels) = read::<3>(images)?;
    let ([label_count], label_bytes) = read::<1>(labels)?;
    if count != label_count {
        let (images_file, labels_file) = (images.name.to_string(), labels.name.to_string());
        return Err(DataError::CountsDiffer { images_file, images: count, labels_file, labels: label_count });
    }
    // An error about a label is an error of the labels' file.
    Images::new(labels.name, [1, height, width], CLASSES, pixels, label_bytes.into_iter().map(u16::from).collect()).map(Some)
}

#[derive(Clone, Copy)]
enum Array {
    Images,
    Labels,
}

/// The file names under which an array is published, the preferred one first: unpacking takes time.
fn spellings(part: Part, array: Array) -> [String; 4] {
    let part = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    let (array, rank) = match array {
        Array::Images => ("images", 3),
        Array::Labels => ("labels", 1),
    };
    [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")].map(|(dash, gz)| format!("{part}-{array}{dash}idx{rank}-ubyte{gz}"))
}

/// The item whose name is the most preferred spelling of an array's.
fn pick<T>(part: Part, array: Array, from: impl Iterator<Item = T> + Clone, name: impl Fn(&T) -> &str) -> Option<T> {
    spellings(part, array).iter().find_map(|spelling| from.clone().find(|item| base(name(item)) == spelling))
}

/// The dimensions and the bytes of an array with `N` dimensions, each at least 1.
fn read<const N: usize>(file: &NamedFile) -> Result<([usize; N], Vec<u8>), DataError> {
    let name = || file.name.to_string();
    // The name does not tell: browsers and package managers unpack without renaming, and the other way round.
    let mut bytes: Box<dyn Read> = match file.bytes {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file.bytes)),
        plain => Box::new(plain),
    };
    let mut take = |count: u64, capacity: usize| {
        let mut taken = Vec::with_capacity(capacity);
        // Reading from memory cannot fail, so an error is the decompressor's.
        match bytes.by_ref().take(count).read_to_end(&mut taken) {
            Ok(_) => Ok(taken),
            Err(error) => Err(DataError::Gzip { file: name(), reason: error.to_string() }),
        }
    };

    let header_size = 4 + 4 * N;
    let header = take(header_size as u64, header_size)?;
    let words: Vec<u32> = header.chunks_exact(4).map(|w| w.iter().fold(0, |word, &byte| word << 8 | u32::from(byte))).collect();
    // The magic number first: a file that is something else should not be called cut short.
    let expected = 0x0800 | N as u32;
    if let Some(&found) = words.first().filter(|&&found| found != expected) {
        return Err(DataError::BadMagic { file: name(), found, expected, dimensions: N as u32 });
    }
    if header.is_empty() {
        return Err(DataError::Empty { file: name() });
    }
    if header.len() < header_size {
        return Err(DataError::Truncated { file: name(), found: header.len() as u64, expected: header_size as u64 });
    }
    let mut dimensions = [0; N];
    for (dimension, &word) in dimensions.iter_mut().zip(&words[1..]) {
        *dimension = word as usize;
    }
    if dimensions.contains(&0) {
        return Err(DataError::Empty { file: name() });
    }
    let announced = words[1..].iter().try_fold(1u64, |size, &d| size.checked_mul(d.into()));
    let size = announced.filter(|&size| size <= LIMIT).ok_or_else(|| DataError::TooLarge {
        file: name(),
        announced: announced.map_or("more than 2^64".to_string(), |size| size.to_string()),
        limit: LIMIT,
    })?;

    // One byte more than announced, to see whether it ends there (and so that gzip's checksum is read). Memory is set
    // aside for no more than the file really has, and grows as bytes arrive.
    let body = take(size + 1, file.bytes.len().min(size as usize + 1))?;
    let expected = header_size as u64 + size;
    match (body.len() as u64).cmp(&size) {
        std::cmp::Ordering::Less => Err(DataError::Truncated { file: name(), found: header_size as u64 + body.len() as u64, expected }),
        std::cmp::Ordering::Equal => Ok((dimensions, body)),
        std::cmp::Ordering::Greater => Err(DataError::Overlong { file: name(), expected }),
    }
}

//! The binary versions of CIFAR-10 and CIFAR-100: records of label bytes and pixels, with no header.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version".

use super::format::{Part, base};
use super::{DataError, Format, Images, NamedFile};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// One of the two formats: what its files are called and which labels stand before the pixels of a record.
pub(super) struct Cifar {
    format: Format,
    /// What a file of that name is.
    part: fn(&str) -> Option<Part>,
    /// The label bytes, as (what it is called, how many classes). The last one is the image's label.
    labels: &'static [(&'static str, usize)],
}

pub(super) const CIFAR_10: Cifar = Cifar {
    format: Format::Cifar10,
    part: |name| match name {
        "test_batch.bin" => Some(Part::Test),
        _ if name.starts_with("data_batch_") && name.ends_with(".bin") => Some(Part::Train),
        _ => None,
    },
    labels: &[("label", 10)],
};

pub(super) const CIFAR_100: Cifar = Cifar {
    format: Format::Cifar100,
    part: |name| match name {
        "train.bin" => Some(Part::Train),
        "test.bin" => Some(Part::Test),
        _ => None,
    },
    // The coarse label is read only to notice a file that is no CIFAR-100 at all.
    labels: &[("coarse label", 20), ("label", 100)],
};

impl Cifar {
    /// The names that belong to the format.
    pub(super) fn wanted(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| (self.part)(base(name)).is_some()).cloned().collect()
    }

    /// The images of one part: the records of its files one after the other, `None` if it has no file.
    pub(super) fn decode(&self, part: Part, files: &[NamedFile]) -> Result<Option<Images>, DataError> {
        let files: Vec<&NamedFile> = files.iter().filter(|file| (self.part)(base(file.name)) == Some(part)).collect();
        let (Some(first), Some(&(_, classes))) = (files.first(), self.labels.last()) else { return Ok(None) };
        let records: usize = files.iter().map(|file| file.bytes.len() / self.record_size()).sum();
        let (mut pixels, mut labels) = (Vec::with_capacity(records * PIXELS), Vec::with_capacity(records));
        for file in &files {
            self.append(file, &mut pixels, &mut labels)?;
        }
        Images::new(first.name, SHAPE, classes, pixels, labels).map(Some)
    }

    fn append(&self, file: &NamedFile, pixels: &mut Vec<u8>, labels: &mut Vec<u16>) -> Result<(), DataError> {
        let name = || file.name.to_string();
        if file.bytes.is_empty() {
            return Err(DataError::Empty { file: name() });
        }
        let records = file.bytes.chunks_exact(self.record_size());
        if !records.remainder().is_empty() {
            let (found, record) = (file.bytes.len() as u64, self.record_size() as u64);
            let expected = found.next_multiple_of(record);
            return Err(DataError::BrokenRecord { file: name(), format: self.format, found, expected, record });
        }
        for (image, record) in records.enumerate() {
            let (head, body) = record.split_at(self.labels.len());
            for (&label, &(kind, classes)) in head.iter().zip(self.labels) {
                if usize::from(label) >= classes {
                    return Err(DataError::LabelOutOfRange { file: name(), image, kind, label: label.into(), classes });
                }
            }
            labels.extend(head.last().copied().map(u16::from));
            pixels.extend_from_slice(body);
        }
        Ok(())
    }

    /// Bytes of one image with its labels.
    fn record_size(&self) -> usize {
        self.labels.len() + PIXELS
    }
}

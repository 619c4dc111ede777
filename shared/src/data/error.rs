//! What can be wrong with a data set, each said in one sentence for the person who pointed at it.

use super::{Format, SplitName, format};

/// Why bytes are not a data set, or why a data set cannot be cut as asked. Byte counts are after decompression.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// None of the files belongs to the format.
    #[error("no file of format {format} was found: expected {}; check the folder and the format", format::expected(*.format))]
    NoFiles {
        /// The format that was asked for.
        format: Format,
    },
    /// An IDX file of images without its labels, or the other way round.
    #[error("{file} lies there alone: expected {missing} (or {missing}.gz) beside it; add that file")]
    NoPartner {
        /// The file that was found.
        file: String,
        /// The file that belongs to it.
        missing: String,
    },
    /// The file is shorter than its header announces, or than a header.
    #[error("{file} is cut short: {found} bytes where {expected} were expected; fetch it again")]
    Truncated {
        /// File name.
        file: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be there.
        expected: u64,
    },
    /// The file goes on after the last image or label.
    #[error("{file} goes on after the {expected} bytes that its header announces; fetch it again")]
    Overlong {
        /// File name.
        file: String,
        /// Bytes that the header announces, itself included.
        expected: u64,
    },
    /// A CIFAR file that is no whole number of records.
    #[error(
        "{file} is cut short: {found} bytes are no whole number of {record}-byte {format} records, expected {expected}; \
         fetch it again, or check the format"
    )]
    BrokenRecord {
        /// File name.
        file: String,
        /// The format that it was read as.
        format: Format,
        /// Bytes that are there.
        found: u64,
        /// Bytes up to the end of the record that breaks off.
        expected: u64,
        /// Bytes of one record.
        record: u64,
    },
    /// An IDX file that does not start as one.
    #[error(
        "{file} starts with the magic number {found:#010x} where {expected:#010x} (unsigned bytes, {dimensions} dimensions) \
         was expected; check that it is the IDX file its name says"
    )]
    BadMagic {
        /// File name.
        file: String,
        /// The first four bytes, big-endian.
        found: u32,
        /// What they should be.
        expected: u32,
        /// Dimensions of the array: 3 for images, 1 for labels.
        dimensions: u32,
    },
    /// The header announces more than is sensible: it is damaged, or the file means harm.
    #[error("the header of {file} announces {announced} bytes, expected at most {limit}; fetch the file again")]
    TooLarge {
        /// File name.
        file: String,
        /// What the header announces, in words where the number itself overflows.
        announced: String,
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// More images than an index can count.
    #[error("{file} holds {images} images, expected at most {}; split it into several data sets", u32::MAX)]
    TooMany {
        /// File name.
        file: String,
        /// Images that are there.
        images: usize,
    },
    /// A file of images and its file of labels that do not belong together.
    #[error(
        "{images_file} holds {images} images and {labels_file} {labels} labels, expected as many of both; \
         fetch both files again from one source"
    )]
    CountsDiffer {
        /// File name of the images.
        images_file: String,
        /// How many images.
        images: usize,
        /// File name of the labels.
        labels_file: String,
        /// How many labels.
        labels: usize,
    },
    /// A label that names no class.
    #[error("{file} gives image {image} the {kind} {label}, expected 0 to {}; check the format, or fetch the file again", classes - 1)]
    LabelOutOfRange {
        /// File name.
        file: String,
        /// Which image of that file, from 0.
        image: usize,
        /// `label`, or `coarse label` for the superclass of CIFAR-100.
        kind: &'static str,
        /// The label found.
        label: u16,
        /// How many classes there are.
        classes: usize,
    },
    /// A file with no image or label in it.
    #[error("{file} is empty, expected at least one image of at least one pixel with its label; fetch it again")]
    Empty {
        /// File name.
        file: String,
    },
    /// A gzip stream that does not unpack.
    #[error("{file} does not unpack as gzip ({reason}), expected an intact .gz file; fetch it again")]
    Gzip {
        /// File name.
        file: String,
        /// What the decompressor says.
        reason: String,
    },
    /// Pixels that are not `images x channels x height x width`.
    #[error("{file} has {found} pixel values, expected {expected} for {images} images of shape {shape:?}; correct the shape or the pixels")]
    WrongPixels {
        /// What the pixels were taken from.
        file: String,
        /// Pixel values that are there.
        found: usize,
        /// Pixel values that should be there, in words where the number itself overflows.
        expected: String,
        /// How many labels, so images.
        images: usize,
        /// Channels, height, width.
        shape: [usize; 3],
    },
    /// Training and test images that cannot belong to one data set.
    #[error(
        "training images have shape {train:?} and {train_classes} classes, test images {test:?} and {test_classes}, \
         expected the same of both; keep only one data set's files in the folder"
    )]
    SplitsDiffer {
        /// Channels, height, width of the training images.
        train: [usize; 3],
        /// Classes of the training images.
        train_classes: usize,
        /// Channels, height, width of the test images.
        test: [usize; 3],
        /// Classes of the test images.
        test_classes: usize,
    },
    /// An archive with neither training nor test images.
    #[error("there are no images to split, expected training or test images; give the files of at least one of them")]
    NoImages,
    /// A fraction that is none.
    #[error("{split} asks for the fraction {fraction}, expected a number from 0 to 1; correct it, or give a whole number of images")]
    BadFraction {
        /// The split that asks.
        split: SplitName,
        /// What it asks for.
        fraction: f64,
    },
    /// More images asked for than there are.
    #[error("{split} asks for {asked} images, expected at most the {left} that are left of {pool}; ask for fewer")]
    TooFew {
        /// The split that asks.
        split: SplitName,
        /// How many images it asks for.
        asked: usize,
        /// How many no other split has taken.
        left: usize,
        /// How many there were to cut from.
        pool: usize,
    },
    /// Identical images stay together, and no choice of such groups gives the number asked for.
    #[error("{split} cannot have exactly {asked} images because identical images must stay in one split, expected {nearest}; ask for that")]
    Indivisible {
        /// The split that asks.
        split: SplitName,
        /// How many images it asks for.
        asked: usize,
        /// The nearest smaller number that can be had.
        nearest: usize,
    },
}

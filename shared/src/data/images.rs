//! Images in memory: one block of pixels, one label each.

use super::DataError;

/// Labelled images of one shape, in the order of their files. There is always at least one.
#[derive(Clone, PartialEq)]
pub struct Images {
    /// Channels, height, width of every image.
    pub shape: [usize; 3],
    /// How many classes the labels tell apart: every label is below it.
    pub classes: usize,
    // Private, because their lengths and ranges are this type's promise.
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Images {
    /// Images from `pixels` (`[images, channels, height, width]`, row-major, 0 to 255) and one label an image.
    ///
    /// `name` says in an error where they came from.
    ///
    /// # Errors
    /// No images, no pixels in an image, a label that is not below `classes`, or pixels of another number than
    /// `labels` and `shape` ask for.
    pub fn new(name: &str, shape: [usize; 3], classes: usize, pixels: Vec<u8>, labels: Vec<u16>) -> Result<Self, DataError> {
        let file = || name.to_string();
        if labels.is_empty() || classes == 0 || shape.contains(&0) {
            return Err(DataError::Empty { file: file() });
        }
        if u32::try_from(labels.len()).is_err() {
            return Err(DataError::TooMany { file: file(), images: labels.len() });
        }
        let expected = shape.iter().try_fold(labels.len(), |n, &d| n.checked_mul(d));
        if expected != Some(pixels.len()) {
            let expected = expected.map_or("more than memory can hold".to_string(), |n| n.to_string());
            return Err(DataError::WrongPixels { file: file(), found: pixels.len(), expected, images: labels.len(), shape });
        }
        if let Some((image, &label)) = labels.iter().enumerate().find(|&(_, &label)| usize::from(label) >= classes) {
            return Err(DataError::LabelOutOfRange { file: file(), image, kind: "label", label, classes });
        }
        Ok(Self { shape, classes, pixels, labels })
    }

    /// How many images there are: 1 to `u32::MAX`.
    #[allow(clippy::len_without_is_empty, reason = "there is always at least one image")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of image `i`: `[channels, height, width]`, row-major, 0 to 255.
    ///
    /// # Panics
    /// If `i` is not below [`Images::len`], as a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.pixels.len() / self.labels.len();
        &self.pixels[i * size..(i + 1) * size]
    }

    /// The class of image `i`, below [`Images::classes`].
    ///
    /// # Panics
    /// If `i` is not below [`Images::len`], as a slice does.
    pub fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    /// The content hash of image `i`: BLAKE3 over its label (two bytes, little-endian) and its pixels.
    ///
    /// # Panics
    /// If `i` is not below [`Images::len`], as a slice does.
    pub fn hash(&self, i: usize) -> blake3::Hash {
        blake3::Hasher::new().update(&self.label(i).to_le_bytes()).update(self.image(i)).finalize()
    }

    /// A copy of all of `self`, then all of `other`.
    pub(super) fn followed_by(&self, other: &Self) -> Result<Self, DataError> {
        self.must_match(other)?;
        let pixels = [&self.pixels[..], &other.pixels].concat();
        let labels = [&self.labels[..], &other.labels].concat();
        Self::new("the pool of training and test images", self.shape, self.classes, pixels, labels)
    }

    /// Says whether `self` (training) and `test` can be parts of one data set.
    pub(super) fn must_match(&self, test: &Self) -> Result<(), DataError> {
        if (self.shape, self.classes) == (test.shape, test.classes) {
            return Ok(());
        }
        Err(DataError::SplitsDiffer { train: self.shape, train_classes: self.classes, test: test.shape, test_classes: test.classes })
    }
}

/// Without the pixels: nobody reads 150 MB in a failed assertion.
impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images")
            .field("shape", &self.shape)
            .field("classes", &self.classes)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

//! What a cut gives: three subsets of images, and what an experiment records of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Images;

/// The name of a split, as YAML and reports write it.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[serde(rename_all = "snake_case")]
pub enum SplitName {
    /// Weights are trained on it.
    Train,
    /// Choices are made on it.
    Holdout,
    /// Read once, for the report.
    Test,
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SplitName::Train => "train",
            SplitName::Holdout => "holdout",
            SplitName::Test => "test",
        })
    }
}

/// Some of a data set's images, in the order of their files. Cloning it copies no pixels.
#[derive(Clone)]
pub struct Subset {
    images: Arc<Images>,
    indices: Vec<u32>,
    // Made with the subset, while the images' own hashes are known: they take most of the time.
    hash: blake3::Hash,
}

impl Subset {
    /// Every image.
    pub fn all(images: Arc<Images>) -> Self {
        // `Images` promises that a u32 counts them.
        let indices = (0..images.len() as u32).collect();
        Self::of(images.clone(), indices, |i| images.hash(i))
    }

    /// No image, but the shape and the classes of `images`.
    pub(super) fn none(images: Arc<Images>) -> Self {
        Self { images, indices: Vec::new(), hash: blake3::hash(b"") }
    }

    /// The images at `indices`, which are below `images.len()`; `hash(i)` is `images.hash(i)`.
    pub(super) fn of(images: Arc<Images>, indices: Vec<u32>, hash: impl Fn(usize) -> blake3::Hash) -> Self {
        let mut hashes: Vec<[u8; 32]> = indices.iter().map(|&i| *hash(i as usize).as_bytes()).collect();
        hashes.sort_unstable();
        let hash = blake3::hash(hashes.as_flattened());
        Self { images, indices, hash }
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none: nobody asked for any, or the folder has no file for them.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The pixels of the subset's image `i`: `[channels, height, width]`, row-major, 0 to 255.
    ///
    /// # Panics
    /// If `i` is not below [`Subset::len`], as a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        self.images.image(self.indices[i] as usize)
    }

    /// The class of the subset's image `i`, below [`Subset::classes`].
    ///
    /// # Panics
    /// If `i` is not below [`Subset::len`], as a slice does.
    pub fn label(&self, i: usize) -> u16 {
        self.images.label(self.indices[i] as usize)
    }

    /// Channels, height, width of every image.
    pub fn shape(&self) -> [usize; 3] {
        self.images.shape
    }

    /// How many classes the labels tell apart.
    pub fn classes(&self) -> usize {
        self.images.classes
    }

    /// What the subset holds, whatever the order: hexadecimal BLAKE3 over the sorted content hashes of its images.
    pub fn hash(&self) -> String {
        self.hash.to_string()
    }

    fn record(&self) -> SplitRecord {
        SplitRecord { images: self.len(), hash: self.hash() }
    }
}

/// Without the images.
impl fmt::Debug for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subset").field("len", &self.len()).field("hash", &self.hash()).finish_non_exhaustive()
    }
}

/// A data set cut in three.
#[derive(Clone, Debug)]
pub struct Splits {
    /// The images that weights are trained on.
    pub train: Subset,
    /// The images that choices are made on.
    pub holdout: Subset,
    /// The images of the final report.
    pub test: Subset,
}

impl Splits {
    /// The split of that name.
    pub fn get(&self, name: SplitName) -> &Subset {
        match name {
            SplitName::Train => &self.train,
            SplitName::Holdout => &self.holdout,
            SplitName::Test => &self.test,
        }
    }

    /// What an experiment records, and what a worker compares its own splits with.
    pub fn record(&self) -> SplitHashes {
        SplitHashes { train: self.train.record(), holdout: self.holdout.record(), test: self.test.record() }
    }
}

/// Which images each split holds, without the images.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct SplitHashes {
    /// Of the images that weights are trained on.
    pub train: SplitRecord,
    /// Of the images that choices are made on.
    pub holdout: SplitRecord,
    /// Of the images of the final report.
    pub test: SplitRecord,
}

/// Which images one split holds.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct SplitRecord {
    /// How many.
    pub images: usize,
    /// [`Subset::hash`].
    pub hash: String,
}

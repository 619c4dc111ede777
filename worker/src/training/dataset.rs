//! A data set in memory: pixels in, normalised batches out.

use crate::error::TaskError;
use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::data::{NamedFile, Splits, Subset, decode, split};
use pleach_shared::spec::{Augment, Normalize};
use pleach_shared::task::DataRef;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A decoded data set, cut into its splits.
#[derive(Debug)]
pub struct Dataset {
    /// Train, holdout and test.
    pub splits: Splits,
    normalize: Option<Normalize>,
    augment: Augment,
}

impl Dataset {
    /// Decodes the files of `data`; `bytes` are theirs, in order.
    ///
    /// # Errors
    /// When a file is broken, or the splits come out otherwise than recorded.
    pub fn open<B: AsRef<[u8]>>(data: &DataRef, bytes: &[B]) -> Result<Dataset, TaskError> {
        let files: Vec<NamedFile<'_>> =
            data.files.iter().zip(bytes).map(|(file, bytes)| NamedFile { name: &file.name, bytes: bytes.as_ref() }).collect();
        let splits = split(&decode(data.format, &files)?, &data.cut)?;
        match splits.record() == data.splits {
            true => Ok(Dataset { splits, normalize: data.normalize.clone(), augment: data.augment }),
            false => Err(TaskError::Splits),
        }
    }

    /// Splits as they are, without normalisation or augmentation.
    pub fn plain(splits: Splits) -> Dataset {
        Dataset { splits, normalize: None, augment: Augment::default() }
    }

    /// Images of a split, normalised: `[batch, channels, height, width]`.
    pub fn batch(&self, split: &Subset, indices: &[usize], device: &Device) -> Tensor<4> {
        let [channels, height, width] = split.shape();
        let mut pixels = Vec::with_capacity(indices.len() * channels * height * width);
        for &index in indices {
            for (channel, plane) in split.image(index).chunks_exact(height * width).enumerate() {
                let scale = self.scale(channel);
                pixels.extend(plane.iter().map(|&pixel| scale(pixel)));
            }
        }
        Tensor::from_data(TensorData::new(pixels, [indices.len(), channels, height, width]), device)
    }

    /// Training images, augmented: a random crop of the image padded with black, then a random horizontal flip.
    pub fn training_batch(&self, indices: &[usize], rng: &mut ChaCha8Rng, device: &Device) -> Tensor<4> {
        let split = &self.splits.train;
        let [channels, height, width] = split.shape();
        let padding = self.augment.crop_padding;
        let mut pixels = Vec::with_capacity(indices.len() * channels * height * width);
        for &index in indices {
            let [down, right] = [(); 2].map(|()| if padding > 0 { rng.random_range(0..=2 * padding) } else { 0 });
            let flip = self.augment.flip && rng.random_bool(0.5);
            for (channel, plane) in split.image(index).chunks_exact(height * width).enumerate() {
                let scale = self.scale(channel);
                for row in 0..height {
                    let row = (row + down).checked_sub(padding).filter(|&row| row < height);
                    for column in 0..width {
                        let column = if flip { width - 1 - column } else { column };
                        let column = (column + right).checked_sub(padding).filter(|&column| column < width);
                        let pixel = row.zip(column).map_or(0, |(row, column)| plane[row * width + column]);
                        pixels.push(scale(pixel));
                    }
                }
            }
        }
        Tensor::from_data(TensorData::new(pixels, [indices.len(), channels, height, width]), device)
    }

    fn scale(&self, channel: usize) -> impl Fn(u8) -> f32 + use<> {
        // One value for all channels, or one each; the document was checked for it.
        let pick = |values: &[f64]| values.get(channel).or(values.first()).copied();
        let mean = self.normalize.as_ref().and_then(|normalize| pick(&normalize.mean)).unwrap_or(0.0) as f32;
        let deviation = self.normalize.as_ref().and_then(|normalize| pick(&normalize.std)).unwrap_or(1.0) as f32;
        move |pixel| (f32::from(pixel) / 255.0 - mean) / deviation
    }
}

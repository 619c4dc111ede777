//! Labelled images: bytes of the published file formats in, images and reproducible splits out.
//!
//! Three steps, each a pure function of its arguments. The caller reads the files:
//!
//! 1. [`wanted`] says which of a folder's files belong to a [`Format`];
//! 2. [`decode`] turns their bytes into an [`Archive`], the images as their owner published them;
//! 3. [`split()`] cuts that archive into train, holdout and test by content hash, and [`Splits::record`] is what an
//!    experiment writes down about it.
//!
//! Bytes come from users' folders and from the network, so nothing here panics on them: each is answered by images or
//! by a [`DataError`].

mod cifar;
mod error;
mod format;
mod idx;
mod images;
mod split;
mod subset;
#[cfg(test)]
mod tests;

pub use error::DataError;
pub use format::{Archive, Format, NamedFile, decode, expected, wanted};
pub use images::Images;
pub use split::{Amount, Cut, split};
pub use subset::{SplitHashes, SplitName, SplitRecord, Splits, Subset};

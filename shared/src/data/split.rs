//! Cutting by content hash: which split an image is in depends on what it shows, not on where it lies in which file.
//!
//! So two people with differently ordered copies of a data set get the same splits, no seed has to be written down,
//! and the choice is as good as random because BLAKE3 is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Archive, DataError, SplitName, Splits, Subset};

/// How much of the images: `1000` images, or the fraction `0.1` of all there are to cut from.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(untagged)]
pub enum Amount {
    /// So many images.
    Count(usize),
    /// This part of all images to cut from, 0 to 1, rounded to the nearest image.
    Fraction(f64),
}

/// What is cut off the training images.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Cut {
    /// The images that choices are made on.
    pub holdout: Amount,
    /// The images of the final report, for a data set that has no file of its own for them: then all images of the
    /// archive, training and test, are one pool that is cut in three. `None` leaves the official test images alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Amount>,
}

/// Cuts `archive` into train, holdout and test.
///
/// The pool is the training images, or everything if `cut.test` asks for test images. In the order of their content
/// hashes the first images of the pool go to test (if asked for), the next to holdout, the rest to train. Identical
/// images with the same label always go to the same split, so none leaks from train into holdout; where such a group
/// would exceed a split's size, the split takes later images instead and has exactly the size asked for.
///
/// Official test images stay as they are: an image that their owner put into both files is in train and in test.
/// Without training images (a folder needs to hold only the splits that are used) train and holdout are empty.
///
/// Each split lists its images in the order of their files.
///
/// # Errors
/// An archive without images, more images asked for than there are, or a size that groups of identical images do not
/// add up to. The last is exact for each split by itself; where test and holdout compete for the same few images, it
/// may come although some joint choice exists.
pub fn split(archive: &Archive, cut: &Cut) -> Result<Splits, DataError> {
    let (pool, official_test) = match (&archive.train, &archive.test, cut.test) {
        (None, None, _) => return Err(DataError::NoImages),
        (Some(train), Some(test), Some(_)) => (Arc::new(train.followed_by(test)?), None),
        (Some(pool), None, Some(_)) | (None, Some(pool), Some(_)) => (pool.clone(), None),
        (Some(train), test, None) => (train.clone(), test.clone()),
        (None, Some(test), None) => {
            let none = Subset::none(test.clone());
            return Ok(Splits { train: none.clone(), holdout: none, test: Subset::all(test.clone()) });
        }
    };
    let test = match cut.test {
        Some(amount) => count(SplitName::Test, amount, pool.len(), pool.len())?,
        None => 0,
    };
    let holdout = count(SplitName::Holdout, cut.holdout, pool.len(), pool.len() - test)?;

    let hashes: Vec<blake3::Hash> = (0..pool.len()).map(|i| pool.hash(i)).collect();
    // `Images` promises that a u32 counts them.
    let mut by_hash: Vec<u32> = (0..pool.len() as u32).collect();
    by_hash.sort_unstable_by_key(|&i| (*hashes[i as usize].as_bytes(), i));
    let groups: Vec<&[u32]> = by_hash.chunk_by(|&a, &b| hashes[a as usize] == hashes[b as usize]).collect();

    let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let wishes = [(SplitName::Test, test), (SplitName::Holdout, holdout)];
    let owners = match first_that_fit(&sizes, wishes) {
        Some(owners) => owners,
        None => sizes_that_add_up(&sizes, wishes)?,
    };

    let subset = |name| {
        let mut indices: Vec<u32> =
            groups.iter().zip(&owners).filter(|&(_, &owner)| owner == name).flat_map(|(group, _)| group.iter().copied()).collect();
        indices.sort_unstable();
        Subset::of(pool.clone(), indices, |i| hashes[i])
    };
    Ok(Splits {
        train: subset(SplitName::Train),
        holdout: subset(SplitName::Holdout),
        test: official_test.map_or_else(|| subset(SplitName::Test), Subset::all),
    })
}

/// The number of images that `amount` of `pool` is, at most the `left` that no other split has.
fn count(split: SplitName, amount: Amount, pool: usize, left: usize) -> Result<usize, DataError> {
    let asked = match amount {
        Amount::Count(count) => count,
        Amount::Fraction(fraction) if (0.0..=1.0).contains(&fraction) => (fraction * pool as f64).round() as usize,
        Amount::Fraction(fraction) => return Err(DataError::BadFraction { split, fraction }),
    };
    if asked > left {
        return Err(DataError::TooFew { split, asked, left, pool });
    }
    Ok(asked)
}

type Wishes = [(SplitName, usize); 2];

/// Gives each wish the first free groups that it has room for; the rest is train. `None` if a wish is not filled:
/// with real data sets, whose images are nearly all different, that does not happen.
fn first_that_fit(sizes: &[usize], wishes: Wishes) -> Option<Vec<SplitName>> {
    let mut owners = vec![SplitName::Train; sizes.len()];
    for (split, mut room) in wishes {
        for (owner, &size) in owners.iter_mut().zip(sizes) {
            if *owner == SplitName::Train && size <= room {
                *owner = split;
                room -= size;
            }
        }
        if room > 0 {
            return None;
        }
    }
    Some(owners)
}

/// Finds groups that add up to each wish if any do, the large ones first to leave the flexible small ones to the next
/// wish; among groups of one size the first.
fn sizes_that_add_up(sizes: &[usize], wishes: Wishes) -> Result<Vec<SplitName>, DataError> {
    let mut owners = vec![SplitName::Train; sizes.len()];
    for (split, asked) in wishes {
        let mut free: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (group, &size) in sizes.iter().enumerate().filter(|&(group, _)| owners[group] == SplitName::Train) {
            free.entry(size).or_default().push(group);
        }
        let free: Vec<(usize, Vec<usize>)> = free.into_iter().rev().collect();
        let groups_of = add_up(&free, asked).map_err(|nearest| DataError::Indivisible { split, asked, nearest })?;
        for ((_, groups), take) in free.iter().zip(groups_of) {
            for &group in &groups[..take] {
                owners[group] = split;
            }
        }
    }
    Ok(owners)
}

/// How many groups of each size add up to `target`; the nearest smaller sum that can be had if none do.
///
/// The bounded subset sum, in (number of different sizes) x `target` steps: a data set of n images has at most
/// sqrt(2n) different sizes.
fn add_up(free: &[(usize, Vec<usize>)], target: usize) -> Result<Vec<usize>, usize> {
    // For every sum that can be had: the size (its index) at which it first could be, and how many groups of it.
    let mut reached: Vec<Option<(usize, usize)>> = vec![None; target + 1];
    reached[0] = Some((0, 0));
    for (kind, (size, groups)) in free.iter().enumerate() {
        for sum in *size..=target {
            if reached[sum].is_some() {
                continue;
            }
            reached[sum] = match reached[sum - size] {
                Some((at, used)) if at == kind && used > 0 => (used < groups.len()).then_some((kind, used + 1)),
                Some(_) => Some((kind, 1)),
                None => None,
            };
        }
    }
    let mut take = vec![0; free.len()];
    let mut rest = target;
    while rest > 0 {
        let Some((kind, used)) = reached[rest] else {
            // Only the first step can miss: a reached sum was built from reached sums. 0 is always reached.
            return Err((0..target).rev().find(|&sum| reached[sum].is_some()).unwrap_or(0));
        };
        take[kind] = used;
        rest -= used * free[kind].0;
    }
    Ok(take)
}
